//! The PROXY protocol, version 2: what a proxy says, before anything else, of the connection that it passes on.
//!
//! (HAProxy's `proxy-protocol.txt`, section 2.2.) The header says its own length after 16 bytes, so that it can be read
//! without a byte of what follows it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What every header begins with: bytes that no other protocol does.
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The part of a header that has the length of the rest.
pub const HEAD_BYTES: usize = 16;
/// The largest header: an address and what a proxy may say about TLS beside it.
pub const HEADER_BYTES_MAX: usize = 4096;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// The proxy speaks for itself, as in a health check.
    Local,
    /// It passes on a connection that has no address of the internet, or none that it knows.
    Unknown,
    /// It passes on a connection from here.
    From(SocketAddr),
}

/// Why what has come is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Something else.
    #[error("a PROXY protocol header, version 2, is expected here; let the proxy send one")]
    Missing,
    /// The version that is a line of text.
    #[error("this is the PROXY protocol, version 1; let the proxy send version 2")]
    Version1,
    /// A version that there is not.
    #[error("PROXY protocol version {0} is not known; let the proxy send version 2")]
    Version(u8),
    /// A command that there is not.
    #[error("the PROXY protocol has no command {0}")]
    Command(u8),
    /// A family of addresses that there is not.
    #[error("the PROXY protocol has no address family {0}")]
    Family(u8),
    /// It has more bytes than are read.
    #[error("the PROXY header has {0} bytes; at most {HEADER_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// It is shorter than its addresses.
    #[error("the PROXY header has {0} bytes for addresses, which are longer")]
    TooShort(usize),
}

/// How many bytes may be read now, given what has come: not one belongs to anything else. Zero when the header is whole.
///
/// # Errors
/// What has come is no header; told as early as can be.
pub fn needed(bytes: &[u8]) -> Result<usize, ProxyError> {
    let signature = bytes.len().min(SIGNATURE.len());
    if bytes[..signature] != SIGNATURE[..signature] {
        let line = b"PROXY ";
        let begins = bytes.len().min(line.len());
        return Err(if bytes[..begins] == line[..begins] {
            ProxyError::Version1
        } else {
            ProxyError::Missing
        });
    }
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Ok(HEAD_BYTES - bytes.len());
    };
    if head[12] >> 4 != 2 {
        return Err(ProxyError::Version(head[12] >> 4));
    }
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if HEAD_BYTES + length > HEADER_BYTES_MAX {
        return Err(ProxyError::TooLong(HEAD_BYTES + length));
    }
    Ok(length.saturating_sub(rest.len()))
}

/// Reads a header at the beginning of `bytes`; `None` if not all of it has come. Returns its length too.
///
/// # Errors
/// What has come is no header.
pub fn parse(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyError> {
    if needed(bytes)? > 0 {
        return Ok(None);
    }
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    let addresses = &rest[..length];
    let all = HEAD_BYTES + length;
    match head[12] & 0x0f {
        // Whatever else a local one says is not to be looked at.
        0 => return Ok(Some((ProxyHeader::Local, all))),
        1 => {}
        command => return Err(ProxyError::Command(command)),
    }
    let short = ProxyError::TooShort(length);
    let header = match head[13] >> 4 {
        1 => {
            let [a, b, c, d, _, _, _, _, high, low, ..] =
                *addresses.first_chunk::<12>().ok_or(short)?;
            from(Ipv4Addr::new(a, b, c, d).into(), [high, low])
        }
        2 => {
            let addresses = addresses.first_chunk::<36>().ok_or(short)?;
            let source = addresses.first_chunk::<16>().ok_or(short)?;
            from(
                Ipv6Addr::from(*source).to_canonical(),
                [addresses[32], addresses[33]],
            )
        }
        // Unspecified, or of this host.
        0 | 3 => ProxyHeader::Unknown,
        family => return Err(ProxyError::Family(family)),
    };
    Ok(Some((header, all)))
}

fn from(address: IpAddr, port: [u8; 2]) -> ProxyHeader {
    ProxyHeader::From(SocketAddr::new(address, u16::from_be_bytes(port)))
}
