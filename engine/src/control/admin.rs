//! The admin server: health, metrics and commands over HTTP.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HOST, WWW_AUTHENTICATE};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ringmain_nats::Handle;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::cluster_page;
use super::commands::{self, Body, Commands};
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

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// What the admin server shows.
pub struct Pages {
    /// The metrics.
    pub metrics: Metrics,
    /// The control plane's own numbers; they say whether the node is about to end.
    pub numbers: Arc<Numbers>,
    /// The link with other nodes, where there is one.
    pub cluster: Option<Handle>,
    /// Whether the node is ready while that link is down.
    pub ready_alone: bool,
    /// Takes commands.
    pub commands: Commands,
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
            Ok((stream, peer)) => {
                let pages = pages.clone();
                tokio::spawn(async move {
                    answer_one(stream, peer, pages).await;
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

async fn answer_one(stream: TcpStream, peer: SocketAddr, pages: Arc<Pages>) {
    let service = service_fn(move |request: Request<_>| {
        let pages = pages.clone();
        async move { Ok::<_, Infallible>(pages.respond(peer, &request).await) }
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
    async fn respond<B>(&self, peer: SocketAddr, request: &Request<B>) -> Response<Full<Bytes>> {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        if peer.ip().to_canonical().is_loopback() && !is_local_name(headers) {
            let body = "From this host the admin server is asked by its address, as localhost or by a name without dots: \
                        any other name may be that of a page in a browser.\n";
            return page(StatusCode::FORBIDDEN, TEXT, body);
        }
        if !commands::is_command(uri.path()) {
            return self.answer(method, uri.path(), headers);
        }
        let (status, body) = self.commands.answer(peer, method, uri, headers).await;
        let mut response = match body {
            Body::Text(text) => page(status, TEXT, text),
            Body::Json(json) => page(status, JSON, json),
        };
        // RFC 9110, sections 15.5.2 and 15.5.6.
        let remedy = match status {
            StatusCode::METHOD_NOT_ALLOWED => Some((ALLOW, "POST")),
            StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer")),
            _ => None,
        };
        if let Some((name, value)) = remedy {
            let value = HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    }

    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let found = match path {
            "/health/live" => page(StatusCode::OK, TEXT, "live\n"),
            "/health/ready" if self.numbers.state.get() != State::Serving as u64 => {
                page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "stopping\n")
            }
            "/health/ready" if self.is_cut_off() => page(
                StatusCode::SERVICE_UNAVAILABLE,
                TEXT,
                "the NATS server is not there\n",
            ),
            "/health/ready" => page(StatusCode::OK, TEXT, "ready\n"),
            "/metrics" => self.metrics_page(headers),
            "/cluster" => self.cluster_page(),
            _ => {
                let body = "There are /health/live, /health/ready, /metrics and /cluster here, and the commands \
                            POST /connections/{name}/close and POST /users/{user}/close.\n";
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

    /// Whether the link is down, and that counts.
    fn is_cut_off(&self) -> bool {
        let is_down = |cluster: &Handle| cluster.status().interrupted_ms.is_some();
        !self.ready_alone && self.cluster.as_ref().is_some_and(is_down)
    }

    fn cluster_page(&self) -> Response<Full<Bytes>> {
        match &self.cluster {
            Some(cluster) => page(StatusCode::OK, JSON, cluster_page::page(&cluster.status())),
            None => {
                let body = "This node is in no cluster: give it NATS servers with --nats.\n";
                page(StatusCode::NOT_FOUND, TEXT, body)
            }
        }
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

/// Whether a request from this host names it as no page in a browser could. A page's owner can have his own name resolve
/// to the loopback address (DNS rebinding); then the browser takes what is here for the page's, and still says the name.
fn is_local_name(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else {
        return true;
    };
    let Ok(authority) = Authority::try_from(host.as_bytes()) else {
        return false;
    };
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().is_ok() || !host.contains('.')
}

fn page(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_local(host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        is_local_name(&headers)
    }

    #[test]
    fn addresses_and_names_without_dots_are_local() {
        assert!(is_local_name(&HeaderMap::new()));
        for host in [
            "127.0.0.1:8001",
            "127.0.0.1",
            "[::1]:8001",
            "localhost:8001",
            "LOCALHOST",
            "web-1:8001",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "example.com",
            "127.0.0.1.example.com:8001",
            "localhost.",
            "a b",
            "",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
