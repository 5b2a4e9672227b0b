//! The door: health, readiness, metrics, the API and the page over HTTP.
//!
//! Nothing here changes the desired state, and nothing here changes the database but by the functions that commands use.
//! What the daemon does it tells to a [`Board`]; requests are answered from that, and from the database in a snapshot.
//! Everything that waits has a limit: a request's head and body, its answer, a connection's life, and how many there are
//! of them.

mod act;
mod answer;
mod api;
mod asked;
mod billing;
mod board;
mod body;
mod fields;
mod gate;
mod glance;
mod limits;
mod lookout;
mod me;
mod metrics;
mod once;
mod openapi;
mod page;
mod peer;
mod problem;
mod process;
mod resources;
mod route;
mod routes;
mod server;
mod slots;
#[cfg(test)]
pub(crate) mod tests;
mod tls;
mod tokens;
mod tries;
mod window;

pub use board::Board;
pub use server::Door;

/// Alert rules for Prometheus, over the metrics.
pub const ALERTS: &str = include_str!("alerts.yaml");
