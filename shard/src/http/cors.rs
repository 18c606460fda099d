//! What a page of another origin may do with answers: the protocol of cross-origin requests (WHATWG Fetch, "CORS
//! protocol").

use http::header::{self, HeaderMap, HeaderValue};

use crate::origin::Admission;

/// The headers that a page may send beside those that every page may.
const HEADERS_ALLOWED: &str = "authorization, cache-control, content-type, last-event-id";
/// How long a browser may keep a preflight's answer. Short, since the list of origins may change.
const PREFLIGHT_SECONDS: &str = "600";

/// What an answer says to the browser of the page that asked. Nothing, for a resource that no page reads by HTTP.
#[derive(Debug, Default)]
pub struct Cors {
    /// The answer depends on the request's `Origin`.
    varies: bool,
    /// The page's origin, if it may read the answer.
    origin: Option<HeaderValue>,
    /// The page may use the user's credentials.
    with_credentials: bool,
    is_preflight: bool,
}

impl Cors {
    /// What to say to a request that was let in.
    pub fn new(headers: &HeaderMap, admission: Admission) -> Self {
        Cors {
            varies: true,
            origin: headers.get(header::ORIGIN).cloned(),
            // An origin that only `*` lets in could be anybody's page, and must not act as the user.
            with_credentials: admission == Admission::Named,
            is_preflight: headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD),
        }
    }

    /// Puts the headers in. `methods` are those of the resource, where it is asked for them.
    pub fn dress(&self, headers: &mut HeaderMap, methods: Option<&'static str>) {
        if self.varies {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = &self.origin else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.with_credentials {
            let name = header::ACCESS_CONTROL_ALLOW_CREDENTIALS;
            headers.insert(name, HeaderValue::from_static("true"));
        }
        match methods {
            Some(methods) if self.is_preflight => {
                for (name, value) in [
                    (header::ACCESS_CONTROL_ALLOW_METHODS, methods),
                    (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS_ALLOWED),
                    (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS),
                ] {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            _ => {
                let name = header::ACCESS_CONTROL_EXPOSE_HEADERS;
                headers.insert(name, HeaderValue::from_static("retry-after"));
            }
        }
    }
}
