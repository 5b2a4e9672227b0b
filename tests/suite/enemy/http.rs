//! Over HTTP: many connections, many tries, old answers, and what is overheard or passed on.

mod connections;
mod listening;
mod replay;
mod tries;
