//! Where a request carries its token.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, COOKIE, HeaderMap, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderValue, Request};
use percent_encoding::percent_decode_str;

/// The one subprotocol that is selected. Browsers have no other way to send a token than to offer it as a subprotocol,
/// and then want one of what they offered to be selected, which shall not be the token.
pub const SUBPROTOCOL: &str = "ringmain.v1";
/// What an offered subprotocol that is a token begins with.
const BEARER_SUBPROTOCOL: &str = "bearer.";

/// Where else than in headers made for it a token may be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Places<'c> {
    /// The cookie of this name.
    pub cookie: Option<&'c str>,
    /// The query parameter of this name.
    pub query: Option<&'c str>,
}

/// The token that a request carries: that of the first place where there is one, `Authorization` before the subprotocols,
/// the cookie and the query.
pub fn token<'r, B>(request: &'r Request<B>, places: Places<'_>) -> Option<Cow<'r, str>> {
    let headers = request.headers();
    let borrowed = bearer(headers)
        .or_else(|| offered(headers).find_map(|item| item.strip_prefix(BEARER_SUBPROTOCOL)))
        .or_else(|| cookie(headers, places.cookie?));
    borrowed
        .map(Cow::Borrowed)
        .or_else(|| parameter(request.uri().query()?, places.query?))
        .filter(|token| !token.is_empty())
}

/// The subprotocol to select, if the client offers it.
pub fn subprotocol(headers: &HeaderMap) -> Option<HeaderValue> {
    offered(headers)
        .any(|item| item == SUBPROTOCOL)
        .then(|| HeaderValue::from_static(SUBPROTOCOL))
}

/// `Authorization: Bearer ...` (RFC 6750, section 2.1). Another scheme is somebody else's, such as a proxy's.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_ascii())
}

/// The subprotocols that a client offers (RFC 6455, section 11.3.4).
fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',').map(str::trim_ascii))
}

/// The value of a cookie (RFC 6265, section 4.2.1).
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let values = headers.get_all(COOKIE).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut pairs = texts.flat_map(|text| text.split(';'));
    pairs.find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key.trim_ascii() == name).then(|| value.trim_ascii().trim_matches('"'))
    })
}

/// The value of a query's parameter.
fn parameter<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| percent_decode_str(value).decode_utf8_lossy())
    })
}

/// Whether a request says that its token comes as the first message.
pub fn comes_as_message<B>(request: &Request<B>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    parameter(query, "auth").is_some_and(|value| value == "message")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: Places<'static> = Places {
        cookie: Some("session"),
        query: Some("token"),
    };

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request")
    }

    fn found(uri: &str, headers: &[(&str, &str)], places: Places<'_>) -> Option<String> {
        token(&request(uri, headers), places).map(Cow::into_owned)
    }

    #[test]
    fn a_token_is_found_in_each_place() {
        for headers in [
            [("authorization", "Bearer a.b.c")],
            [("authorization", "bearer   a.b.c ")],
            [("sec-websocket-protocol", "ringmain.v1, bearer.a.b.c")],
            [("cookie", "theme=dark; session=a.b.c")],
            [("cookie", "session=\"a.b.c\"")],
        ] {
            let seen = found("/raw/x", &headers, PLACES);
            assert_eq!(seen.as_deref(), Some("a.b.c"), "{headers:?}");
        }
        let seen = found("/raw/x?self=1&token=a%2Eb.c", &[], PLACES);
        assert_eq!(seen.as_deref(), Some("a.b.c"));
    }

    #[test]
    fn where_none_is_looked_for_none_is_found() {
        let cookie = [("cookie", "session=a.b.c")];
        for (uri, headers) in [
            ("/raw/x", &cookie[..]),
            ("/raw/x?token=a.b.c", &[]),
            ("/raw/x", &[("authorization", "Basic YTpi")]),
            ("/raw/x", &[("authorization", "Bearer ")]),
            ("/raw/x", &[("sec-websocket-protocol", "ringmain.v1")]),
        ] {
            assert_eq!(found(uri, headers, Places::default()), None, "{headers:?}");
        }
        assert_eq!(
            found("/raw/x?token2=a", &[("cookie", "asession=b")], PLACES),
            None
        );
    }

    #[test]
    fn the_first_place_wins() {
        let headers = [
            ("cookie", "session=cookie"),
            ("authorization", "Bearer header"),
            ("sec-websocket-protocol", "bearer.offered"),
        ];
        let seen = found("/raw/x?token=query", &headers, PLACES);
        assert_eq!(seen.as_deref(), Some("header"));
        let seen = found("/raw/x?token=query", &headers[..1], PLACES);
        assert_eq!(seen.as_deref(), Some("cookie"));
    }

    #[test]
    fn the_token_is_never_what_is_selected() {
        let select = |offer: &str| {
            subprotocol(request("/", &[("sec-websocket-protocol", offer)]).headers())
                .map(|selected| selected.to_str().map(str::to_owned).unwrap_or_default())
        };
        assert_eq!(
            select("bearer.a.b.c, ringmain.v1"),
            Some("ringmain.v1".into())
        );
        assert_eq!(select("bearer.a.b.c"), None);
        assert_eq!(select("chat"), None);
    }
}
