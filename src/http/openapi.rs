//! The API's description, as OpenAPI 3.1: made from the handlers, and for what holds for many of them, from the rules that
//! hold it.

use std::sync::LazyLock;

use axum::http::{Method, StatusCode};
use axum::response::Response as Answer;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ContentBuilder, ObjectBuilder, OpenApi as Document, Ref, RefOr, Required, Response, ResponseBuilder, Type,
};
use utoipa::{Modify, OpenApi};

use super::billing::SIGNATURE;
use super::fields::ADDRESS;
use super::gate::Need;
use super::problem::{self, Problem};
use super::route::Route;
use super::{act, api, billing, me, resources, routes};

/// How the document names the one way to show a token.
const TOKEN: &str = "token";
/// The same for a signed event.
const SIGNED: &str = "signature";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "reconcile",
        description = "Reads the state of a reconcile daemon, and acts as its commands do. Errors are \
                       `application/problem+json` (RFC 9457).",
    ),
    paths(
        routes::health,
        routes::readiness,
        routes::metrics,
        describe,
        api::status,
        api::servers,
        api::plan,
        api::explain,
        api::history,
        me::me,
        resources::resources,
        act::reconcile::reconcile,
        act::reconcile::request,
        act::ledger::suspend,
        act::ledger::resume,
        act::ledger::approve,
        act::hosts::create,
        act::hosts::rotate,
        act::hosts::revoke,
        act::hosts::verify,
        act::hosts::claim,
        act::instances::provision,
        act::instances::retry,
        act::instances::forget,
        act::instances::claim,
        act::legacy::generate,
        billing::hear,
    ),
    components(schemas(problem::Told)),
    modifiers(&Rules),
)]
struct Described;

static DOCUMENT: LazyLock<Result<String, String>> =
    LazyLock::new(|| Described::openapi().to_pretty_json().map_err(|error| error.to_string()));

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "look", operation_id = "openapi", responses(
    (status = 200, description = "An OpenAPI document", body = serde_json::Value)
))]
pub async fn describe() -> Answer {
    match &*DOCUMENT {
        Ok(text) => routes::answer(StatusCode::OK, "application/json", format!("{text}\n")),
        Err(_) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the description cannot be written").answer(),
    }
}

/// Adds to each operation what the gate, the limits and the keys make of it.
struct Rules;

impl Modify for Rules {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
            "A token of `reconcile token create`. Its scope must be the one that is named, or a greater one: read, \
             operate, secrets.",
        ));
        if let Some(components) = &mut document.components {
            components.add_security_scheme(TOKEN, SecurityScheme::Http(scheme.build()));
            let about = "Beside webhook-id and webhook-timestamp, as Standard Webhooks has them.";
            let signature = ApiKeyValue::with_description(SIGNATURE, about);
            components.add_security_scheme(SIGNED, SecurityScheme::ApiKey(ApiKey::Header(signature)));
        }
        for (path, item) in &mut document.paths.paths {
            let PathItem { get, post, .. } = item;
            for (method, operation) in [(Method::GET, get), (Method::POST, post)] {
                if let Some(operation) = operation {
                    hold(&method, path, operation);
                }
            }
        }
    }
}

/// The parameters that hold an address, for every kind: as [`ADDRESS`] says, or empty where that asks for nothing.
fn address(path: &str, operation: &mut Operation) {
    let (name, pattern) = match path {
        "/api/v1/history" => ("id", ADDRESS.to_owned()),
        "/api/v1/resources" => ("after", format!("^$|{ADDRESS}")),
        _ => return,
    };
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && parameter.name == name
        {
            let texts = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern.clone()));
            parameter.schema = Some(texts.into());
        }
    }
}

fn hold(method: &Method, path: &str, operation: &mut Operation) {
    address(path, operation);
    let token = |scopes: &[&str]| SecurityRequirement::new(TOKEN, scopes.iter().copied());
    let mut refusals = vec![(StatusCode::INTERNAL_SERVER_ERROR, "It failed")];
    match Need::of(method, path) {
        Need::Nothing => {}
        // The page is for people, and none of it is described.
        Need::Page => {}
        Need::Neighbour => operation.security = Some(vec![SecurityRequirement::default(), token(&["read"])]),
        Need::Signature => {
            let signed = SecurityRequirement::new(SIGNED, [""; 0]);
            operation.security = Some(vec![signed, token(&["operate"])]);
        }
        Need::Token(scope) => operation.security = Some(vec![token(&[scope.word()])]),
    }
    if operation.security.is_some() {
        refusals.extend([
            (StatusCode::UNAUTHORIZED, "There is no token, or none that is good"),
            (
                StatusCode::FORBIDDEN,
                "The token has a lesser scope; or it came in clear text, past the proxy that adds TLS",
            ),
            (StatusCode::TOO_MANY_REQUESTS, "It was wrong, and so were too many before: come back after `Retry-After`"),
            (StatusCode::SERVICE_UNAVAILABLE, "Something that is needed does not answer: try again"),
        ]);
    }
    if path.contains('{') {
        refusals.push((StatusCode::NOT_FOUND, "There is no such thing"));
    }
    if *method == Method::POST {
        refusals.extend([
            (StatusCode::BAD_REQUEST, "The body is no JSON, or the key is none"),
            (StatusCode::REQUEST_TIMEOUT, "The body does not arrive in time"),
            (StatusCode::CONFLICT, "As things stand it may not be done; or a request under this key is under way"),
            (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is not said to be JSON"),
            (StatusCode::UNPROCESSABLE_ENTITY, "A field is wrong; or the key was used for another request"),
        ]);
    }
    let is_one = |routes: &[Route<_>]| *method == Method::POST && routes.iter().any(|route| route.path == path);
    if is_one(&act::deeds()) {
        keyed(operation, "Under one key, what is done is done once, and answered again, without what is secret in it");
        replayed(operation);
    }
    if is_one(&act::claims()) {
        keyed(operation, "Under one key, a secret is taken once; asked again, it is a 409");
    }
    for (status, what) in refusals {
        let told = operation.responses.responses.entry(status.as_str().to_owned());
        told.or_insert_with(|| ResponseBuilder::new().description(what).into());
    }
    for (status, told) in &mut operation.responses.responses {
        if let (RefOr::T(told), true) = (told, status.starts_with(['4', '5'])) {
            is_a_problem(told);
        }
    }
}

/// What says no is a problem, unless it says something else itself.
fn is_a_problem(told: &mut Response) {
    if told.content.is_empty() {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        told.content.insert("application/problem+json".to_owned(), content.into());
    }
}

/// A key may go with it.
fn keyed(operation: &mut Operation, about: &str) {
    let word = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(255));
    let key = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(about))
        .schema(Some(word.pattern(Some("^[!-~]+$"))));
    operation.parameters.get_or_insert_default().push(key.build().into());
}

/// What was done under a key is answered again.
fn replayed(operation: &mut Operation) {
    for (status, told) in &mut operation.responses.responses {
        if let (RefOr::T(told), true) = (told, status.starts_with('2')) {
            let word = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["true"]));
            let about = "It was done before, under this key";
            let header = HeaderBuilder::new().schema(Some(word)).description(Some(about)).build();
            told.headers.insert("Idempotency-Replayed".to_owned(), header.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value as Json;

    use super::*;
    use crate::http::gate::LEGACY;

    fn document() -> Json {
        serde_json::to_value(Described::openapi()).unwrap()
    }

    fn names<S>(routes: &[Route<S>]) -> Vec<(String, String)> {
        routes.iter().map(|route| (route.method.as_str().to_lowercase(), route.path.to_owned())).collect()
    }

    #[test]
    fn each_route_is_described_and_each_description_is_a_route() {
        let served = [
            names(&routes::probes()),
            names(&routes::routes()),
            names(&api::routes()),
            names(&act::deeds()),
            names(&act::claims()),
            names(&act::questions()),
            names(&billing::routes()),
            names(&me::routes()),
            names(&resources::routes()),
        ]
        .concat();
        let served: BTreeSet<(String, String)> = served.into_iter().collect();
        let document = document();
        let paths = document["paths"].as_object().unwrap().iter();
        let described = paths.flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| (method.clone(), path.clone()))
        });
        assert_eq!(described.collect::<BTreeSet<_>>(), served);
        assert_eq!(document["openapi"], "3.1.0");
    }

    #[test]
    fn an_address_is_described_for_every_kind_wherever_one_is_read() {
        let document = document();
        let pattern = |path: &str, name: &str| {
            let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
            let found = parameters.iter().find(|parameter| parameter["name"] == name).unwrap();
            found["schema"]["pattern"].as_str().unwrap().to_owned()
        };
        assert_eq!(pattern("/api/v1/history", "id"), ADDRESS);
        assert_eq!(pattern("/api/v1/resources", "after"), format!("^$|{ADDRESS}"));
        for kind in crate::kinds::ALL {
            assert!(ADDRESS.contains(kind.name), "{kind}");
        }
    }

    #[test]
    fn each_operation_says_what_it_needs_and_that_what_is_refused_is_a_problem() {
        let document = document();
        let problem = "#/components/schemas/Problem";
        assert!(document.pointer(&problem[1..]).is_some());
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let name = format!("{method} {path}");
                assert!(operation["summary"].is_string(), "{name}");
                let scope = operation["security"][0][TOKEN][0].as_str();
                let (is_post, is_secret) = (method == "post", path.ends_with("/claim") || path == LEGACY);
                let is_open = !path.starts_with("/api") || path.ends_with("openapi.json");
                let expected = match () {
                    () if is_open => None,
                    () if is_secret => Some("secrets"),
                    () if is_post => Some("operate"),
                    () => Some("read"),
                };
                assert_eq!(scope, expected, "{name}");
                for (status, told) in operation["responses"].as_object().unwrap() {
                    let is_refusal = status.starts_with('4') || (status.starts_with('5') && path.starts_with("/api"));
                    let schema = &told["content"]["application/problem+json"]["schema"]["$ref"];
                    assert_eq!(schema == problem, is_refusal || schema == problem, "{name} {status}");
                }
                assert_eq!(operation["responses"].get("415").is_some(), is_post, "{name}");
            }
        }
    }
}
