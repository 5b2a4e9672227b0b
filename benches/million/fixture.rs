//! Private servers for one run of the benchmark: started under a watchdog, gone with it, whatever becomes of it.

pub mod postgres;
#[path = "../../tests/suite/fixture/process.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
pub mod process;
#[path = "../../tests/suite/fixture/redis.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
pub mod redis;
#[path = "../../tests/suite/fixture/server.rs"]
mod server;
