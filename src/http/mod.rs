//! The door: health, readiness, metrics, a read-only API and the page over HTTP.
//!
//! Nothing here changes the desired state or the database. What the daemon does it tells to a [`Board`]; requests are
//! answered from that, and from the database in a snapshot. Everything that waits has a limit: a request's head and
//! body, its answer, a connection's life, and how many there are of them.

mod api;
mod asked;
mod board;
mod gate;
mod limits;
mod lookout;
mod me;
mod metrics;
mod page;
mod problem;
mod process;
mod resources;
mod routes;
mod server;
mod window;

pub use board::Board;
pub use server::Door;

/// Alert rules for Prometheus, over the metrics.
pub const ALERTS: &str = include_str!("alerts.yaml");
