//! What compression a request is answered with.

use http::header::SEC_WEBSOCKET_EXTENSIONS;
use http::{HeaderMap, HeaderValue, StatusCode};
use ringmain_core::Compression;
use ringmain_proto::ws::deflate::{self, Agreement};

use super::routes::{LAST, Plain};

/// Answers the offers of a handshake (RFC 7692, section 5); `None`: without compression.
///
/// # Errors
/// The header is malformed: the handshake must be refused (RFC 6455, section 9.1).
pub fn negotiate(
    headers: &HeaderMap,
    compression: Option<&Compression>,
) -> Result<Option<Agreement>, Plain> {
    let Some(compression) = compression else {
        return Ok(None);
    };
    let values = headers.get_all(SEC_WEBSOCKET_EXTENSIONS);
    let values = values.iter().map(HeaderValue::as_bytes);
    deflate::negotiate(values, &compression.rules)
        .map_err(|error| Plain::new(StatusCode::BAD_REQUEST, format!("{error}\n")).with(LAST))
}
