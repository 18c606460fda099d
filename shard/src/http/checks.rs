//! The checks of a request, in their order. Each takes the request's head and the policy, and either lets it through
//! or gives the answer that says what was refused and how to allow it.

use http::header::{self, HeaderMap};
use http::{Request, StatusCode};

use super::cors::Cors;
use super::routes::{self, Asked, Plain, Resource};
use crate::gate::{self, Admitted, Shown};
use crate::origin::{Admission, OriginRefusal};
use crate::shell::Shell;

/// Checks a request. What the page that sent it may read of the answer is known as soon as its origin is; later
/// refusals can be read by it too.
pub async fn check<B>(shell: &Shell, request: &Request<B>) -> Result<(Cors, Checked), Plain> {
    let resource = routes::resource(request)?;
    let mut cors = Cors::default();
    let mut admission = Admission::Unnamed;
    if !matches!(resource, Resource::Root) {
        admission = admit_origin(shell, request)?;
        if !resource.is_socket() {
            cors = Cors::new(request.headers(), admission);
        }
    }
    let checked = match routes::asked(request, resource) {
        Ok(asked) => {
            let token = gate::token(shell, request, &asked, admission);
            if let Shown::Token(_) = token {
                shell.tokens_queue().turn(|| shell.turns().request()).await;
            }
            let admitted = gate::admit(shell, request, &asked, token);
            if let Ok(Admitted {
                user: Some(user), ..
            }) = &admitted
            {
                tracing::debug!(user, path = request.uri().path(), "admitted");
            }
            admitted.map(|admitted| (asked, admitted))
        }
        Err(plain) => Err(plain),
    };
    Ok((cors, checked))
}

/// What a request asks for and may do, or the answer that refuses it.
pub type Checked = Result<(Asked, Admitted), Plain>;

/// How much of a refused header is shown.
const SHOWN_BYTES_MAX: usize = 200;

fn admit_origin<B>(shell: &Shell, request: &Request<B>) -> Result<Admission, Plain> {
    let headers = request.headers();
    let host = request
        .uri()
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| headers.get(header::HOST)?.to_str().ok());
    let origin = origin_header(headers);
    let refusal = match shell.policy().origins.admit(origin.as_deref(), host) {
        Ok(admission) => return Ok(admission),
        Err(refusal) => refusal,
    };
    shell.stats().origins_refused.add(1);
    let shown: String = origin
        .unwrap_or_default()
        .chars()
        .take(SHOWN_BYTES_MAX)
        .collect();
    let host: String = host
        .unwrap_or_default()
        .chars()
        .take(SHOWN_BYTES_MAX)
        .collect();
    let body = match refusal {
        OriginRefusal::Missing => {
            "requests without an Origin header are refused here; send one that is allowed, or set \
             `origin_missing = \"allow\"` in the server's configuration\n"
                .to_owned()
        }
        OriginRefusal::NotListed => format!(
            "the Origin {shown:?} is not allowed at {host:?}; to allow it, add it to `origins` in the server's configuration\n"
        ),
    };
    Err(Plain::new(StatusCode::FORBIDDEN, body).with(&[("vary", "origin")]))
}

/// The header, `None` if there is none. Several, or one that is not ASCII, match nothing but `*`.
fn origin_header(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::ORIGIN).iter();
    let mut origin = String::from_utf8_lossy(values.next()?.as_bytes()).into_owned();
    for other in values {
        origin.push(' ');
        origin.push_str(&String::from_utf8_lossy(other.as_bytes()));
    }
    Some(origin)
}
