//! News as server-sent events: a page learns within a moment that it shows what was.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use crate::http::board::Board;

/// How often something is sent, so that both sides notice when the other is gone.
const PULSE: Duration = Duration::from_secs(15);
/// A stream's life: less than a connection's. The page asks for the next by itself.
const LIFE: Duration = Duration::from_secs(4 * 60);
/// How long what follows at once is waited for.
const GAP: Duration = Duration::from_millis(200);

struct Stream {
    board: Arc<Board>,
    news: watch::Receiver<u64>,
    ends_at: Instant,
    is_first: bool,
    _place: OwnedSemaphorePermit,
}

/// A stream that tells at once what the board has counted, and again whenever that rises. It holds `place` as long as it
/// lives.
pub fn answer(board: Arc<Board>, place: OwnedSemaphorePermit) -> Response {
    let news = board.news();
    let stream = Stream { board, news, ends_at: Instant::now() + LIFE, is_first: true, _place: place };
    let parts = stream::unfold(stream, |mut stream| async move {
        let part = stream.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(part)), stream))
    });
    let mut answer = Response::new(Body::from_stream(parts));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    answer
}

impl Stream {
    /// `None`: it has lived long enough, or the daemon is about to end.
    async fn next(&mut self) -> Option<String> {
        let is_told = match std::mem::take(&mut self.is_first) {
            true => true,
            false => tokio::select! {
                changed = self.news.changed() => {
                    changed.ok()?;
                    // Several things that happen at once are one piece of news.
                    tokio::time::sleep(GAP).await;
                    true
                }
                () = tokio::time::sleep(PULSE) => false,
                () = tokio::time::sleep_until(self.ends_at) => return None,
            },
        };
        if self.board.is_ending() {
            return None;
        }
        let count = *self.news.borrow_and_update();
        Some(match is_told {
            true => format!("event: news\ndata: {count}\n\n"),
            // What another daemon does is known to nobody here: the page has to look.
            false if self.board.follows_another() => "event: look\ndata: now\n\n".to_owned(),
            false => ": still here\n\n".to_owned(),
        })
    }
}
