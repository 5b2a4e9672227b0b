//! One route: a method, a path, and what answers. A list of them can be told, which a router cannot.

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodRouter, get, post};

/// Of what is answered from a state `S`.
pub struct Route<S> {
    #[cfg_attr(not(test), expect(dead_code, reason = "for the test that compares the routes with their description"))]
    pub method: Method,
    /// With the names of its parts that vary in braces.
    pub path: &'static str,
    handler: MethodRouter<S>,
}

impl<S: Clone + Send + Sync + 'static> Route<S> {
    pub fn get<T: 'static>(path: &'static str, handler: impl Handler<T, S>) -> Self {
        Self { method: Method::GET, path, handler: get(handler) }
    }

    pub fn post<T: 'static>(path: &'static str, handler: impl Handler<T, S>) -> Self {
        Self { method: Method::POST, path, handler: post(handler) }
    }
}

pub fn router<S: Clone + Send + Sync + 'static>(routes: impl IntoIterator<Item = Route<S>>) -> Router<S> {
    routes.into_iter().fold(Router::new(), |router, Route { method: _, path, handler }| router.route(path, handler))
}
