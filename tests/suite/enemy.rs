//! Whoever means harm, against the real program: what an attacker can reach, and what must hold there.

mod credentials;
mod http;
