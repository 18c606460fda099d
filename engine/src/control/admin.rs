//! The admin server: health and metrics over HTTP.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::numbers::{Numbers, State};
use crate::metrics::{Metrics, OPENMETRICS, PROMETHEUS_TEXT};

/// Connections at a time. More wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// From accept to the end of the answer; one request a connection.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// A request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Before accepting is tried again when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";

/// What the admin server shows.
pub struct Pages {
    /// The metrics.
    pub metrics: Metrics,
    /// The control plane's own numbers; they say whether the node is about to end.
    pub numbers: Arc<Numbers>,
}

/// Serves the pages until it is dropped.
pub async fn serve(listener: TcpListener, pages: Arc<Pages>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let pages = pages.clone();
                tokio::spawn(async move {
                    answer_one(stream, pages).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin server cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer_one(stream: TcpStream, pages: Arc<Pages>) {
    let service = service_fn(move |request: Request<_>| {
        let response = pages.answer(request.method(), request.uri().path(), request.headers());
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an admin connection failed"),
        Err(_) => tracing::debug!("an admin connection took too long"),
    }
}

impl Pages {
    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let found = match path {
            "/health/live" => page(StatusCode::OK, TEXT, "live\n"),
            "/health/ready" if self.numbers.state.get() != State::Serving as u64 => {
                page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "stopping\n")
            }
            "/health/ready" => page(StatusCode::OK, TEXT, "ready\n"),
            "/metrics" => self.metrics_page(headers),
            _ => {
                let body = "There are /health/live, /health/ready and /metrics here.\n";
                return page(StatusCode::NOT_FOUND, TEXT, body);
            }
        };
        if method == Method::GET || method == Method::HEAD {
            return found;
        }
        let body = "Only GET and HEAD are answered here.\n";
        let mut refusal = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, body);
        refusal
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        refusal
    }

    fn metrics_page(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let wanted = headers.get_all(ACCEPT).iter();
        let mut wanted = wanted.filter_map(|value| value.to_str().ok());
        let (kind, text) = if wanted.any(|value| value.contains("application/openmetrics-text")) {
            (OPENMETRICS, self.metrics.text())
        } else {
            (PROMETHEUS_TEXT, self.metrics.prometheus_text())
        };
        match text {
            Ok(text) => page(StatusCode::OK, kind, text),
            Err(error) => page(
                StatusCode::INTERNAL_SERVER_ERROR,
                TEXT,
                format!("the metrics cannot be written: {error}\n"),
            ),
        }
    }
}

fn page(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
