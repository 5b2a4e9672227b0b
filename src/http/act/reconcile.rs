//! Reconcile now: a turn is asked for, and answered with the turn that did it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use super::name;
use crate::change::{quoted, rfc3339};
use crate::http::answer::{Answer, Outcome};
use crate::http::api::Office;
use crate::http::body::Told;
use crate::http::fields::{Reason, Wait};
use crate::http::gate::Caller;
use crate::http::problem::Problem;
use crate::store::requests::{self, Asked};
use crate::store::sql::Id;
use crate::turn::requests::Applier;

/// How often the database is asked whether another daemon has answered.
const GLANCE: Duration = Duration::from_secs(1);
/// How long whoever asks waits unless told otherwise.
const WAIT: Duration = Duration::from_secs(30);

/// A turn that looks at everything, now.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reconcile {
    #[schema(inline)]
    reason: Option<Reason>,
    #[schema(inline)]
    wait: Option<Wait>,
}

/// A request for a turn.
#[derive(Serialize, ToSchema)]
#[schema(as = Request)]
pub struct AskedFor {
    id: String,
    asked_by: String,
    asked_at: String,
    reason: Option<String>,
    /// `null`: no turn has answered yet.
    turn: Option<Turn>,
}

/// The turn that answered.
#[derive(Serialize, ToSchema)]
pub struct Turn {
    run: String,
    holder: String,
    started_at: String,
    finished_at: String,
    /// `done`, `not applied: WHY` with the digest to approve, `failed: …`, or how much of it failed.
    outcome: String,
    /// In one sentence, what was to be done; or where a file has its first problem.
    summary: String,
    revision: String,
}

impl From<&Asked> for AskedFor {
    fn from(asked: &Asked) -> Self {
        let Asked { id, by, reason, at, answer } = asked;
        let turn = answer.as_ref().map(|requests::Answer { run, finished_at, outcome, detail }| Turn {
            run: run.to_string(),
            holder: detail.holder.clone(),
            started_at: rfc3339(detail.started_at),
            finished_at: rfc3339(*finished_at),
            outcome: outcome.clone(),
            summary: detail.summary.as_str().unwrap_or_default().to_owned(),
            revision: detail.revision.clone(),
        });
        Self { id: id.to_string(), asked_by: by.clone(), asked_at: rfc3339(*at), reason: reason.clone(), turn }
    }
}

/// Asks for a turn, and waits until one has answered, or so long.
#[utoipa::path(post, path = "/api/v1/reconcile", tag = "act", request_body = Reconcile, responses(
    (status = 200, description = "The turn that did it", body = AskedFor),
    (status = 202, description = "No turn has answered yet", body = AskedFor,
        headers(("Location" = String, description = "Where the answer will be"))),
))]
pub async fn reconcile(State(office): State<Arc<Office>>, caller: Caller, Told(asked): Told<Reconcile>) -> Outcome {
    let Reconcile { reason, wait } = asked;
    let deadline = Instant::now() + wait.map_or(WAIT, |wait| wait.0);
    let mut news = office.board.news();
    let mut applier = if office.board.is_leader() { Applier::Here } else { Applier::Elsewhere };
    let id = office.world.ask(reason.as_ref().map(|reason| reason.0.as_str()), caller.actor(), applier).await?;
    if applier == Applier::Here {
        office.board.ask();
    }
    loop {
        let is_over = Instant::now() >= deadline;
        // While the database is away, whoever takes the turns asks for it; not each of those who wait as well.
        if is_over || !office.board.database_is_away() {
            match office.world.request(id).await {
                Ok(Some(asked)) if asked.answer.is_some() || is_over => return told(&asked),
                Ok(Some(_)) => {}
                // It is kept; only how it stands cannot be told, perhaps not for long.
                Err(failure) if is_over => {
                    return Err(Problem::from(failure).hint(format!("it was asked for: {}", at(id))));
                }
                Err(_) => {}
                Ok(None) => return Err(gone(&id.to_string())),
            }
        }
        // Where the lease is another's by now, whoever it is has not been told.
        if applier == Applier::Here && !office.board.is_leader() && office.world.tell().await.is_ok() {
            applier = Applier::Elsewhere;
        }
        tokio::select! {
            // A board that is gone tells of nothing any more, and is waited for like one that is silent.
            Ok(()) = news.changed() => {}
            () = tokio::time::sleep_until(deadline.min(Instant::now() + GLANCE)) => {}
        }
    }
}

/// The id of the request that the path names.
pub struct OfRequest(Id);

impl<S: Send + Sync> FromRequestParts<S> for OfRequest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name = name(parts, state).await?;
        Uuid::try_parse(&name).map(|id| Self(Id(id))).map_err(|_| gone(&name))
    }
}

/// How a request for a turn stands.
#[utoipa::path(get, path = "/api/v1/requests/{id}", tag = "look",
    params(("id" = String, Path, description = "The request's UUID", format = "uuid")),
    responses(
        (status = 200, description = "The turn that did it", body = AskedFor),
        (status = 202, description = "No turn has answered yet", body = AskedFor,
            headers(("Location" = String, description = "Where the answer will be"))),
    )
)]
pub async fn request(State(office): State<Arc<Office>>, OfRequest(id): OfRequest) -> Outcome {
    let asked = office.world.request(id).await?;
    told(&asked.ok_or_else(|| gone(&id.to_string()))?)
}

fn told(asked: &Asked) -> Outcome {
    let status = if asked.answer.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let answer = Answer::new(status, &AskedFor::from(asked))?;
    Ok(if asked.answer.is_some() { answer } else { answer.at(&at(asked.id)) })
}

fn at(id: Id) -> String {
    format!("/api/v1/requests/{id}")
}

fn gone(name: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is no request {}", quoted(name)))
        .hint("one that was answered is kept for a day")
}
