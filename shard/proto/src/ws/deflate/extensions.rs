//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455, section 9.1).

use std::borrow::Cow;

/// RFC 6455, 9.1: who receives a value that "does not conform to the ABNF [...] MUST immediately _Fail the WebSocket
/// Connection_". The text is a sentence for people, fit for the answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Sec-WebSocket-Extensions must be a list such as: permessage-deflate; client_max_window_bits, other."
)]
pub struct ExtensionsMalformed;

/// One extension of the list, with what is asked of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extension<'v> {
    pub(super) name: &'v str,
    pub(super) parameters: Vec<Parameter<'v>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameter<'v> {
    pub(super) name: &'v str,
    pub(super) value: Option<Cow<'v, str>>,
}

/// The extensions of all headers, in order. RFC 6455, 9.1: several headers are as good as one with all of their values.
pub(super) fn parse<'v>(
    values: impl IntoIterator<Item = &'v [u8]>,
) -> Result<Vec<Extension<'v>>, ExtensionsMalformed> {
    let mut extensions = Vec::new();
    for value in values {
        let text = std::str::from_utf8(value).map_err(|_| ExtensionsMalformed)?;
        Scanner { rest: text }.list(&mut extensions)?;
    }
    Ok(extensions)
}

struct Scanner<'v> {
    rest: &'v str,
}

impl<'v> Scanner<'v> {
    /// RFC 6455, 9.1: `extension-list = 1#extension`. RFC 9110, 5.6.1.2: a recipient takes empty elements too.
    fn list(mut self, extensions: &mut Vec<Extension<'v>>) -> Result<(), ExtensionsMalformed> {
        loop {
            self.skip_space();
            if !self.rest.is_empty() && !self.rest.starts_with(',') {
                extensions.push(self.extension()?);
            }
            if self.rest.is_empty() {
                return Ok(());
            }
            if !self.take(',') {
                return Err(ExtensionsMalformed);
            }
        }
    }

    /// `extension = extension-token *( ";" extension-param )`
    fn extension(&mut self) -> Result<Extension<'v>, ExtensionsMalformed> {
        let name = self.token()?;
        let mut parameters = Vec::new();
        while self.take(';') {
            parameters.push(self.parameter()?);
        }
        Ok(Extension { name, parameters })
    }

    /// `extension-param = token [ "=" (token | quoted-string) ]`
    fn parameter(&mut self) -> Result<Parameter<'v>, ExtensionsMalformed> {
        let name = self.token()?;
        let value = match self.take('=') {
            false => None,
            true if self.rest.starts_with('"') => Some(self.quoted()?),
            true => Some(Cow::Borrowed(self.token()?)),
        };
        Ok(Parameter { name, value })
    }

    /// A token with the spaces behind it (RFC 9110, section 5.6.2).
    fn token(&mut self) -> Result<&'v str, ExtensionsMalformed> {
        let end = self.rest.bytes().position(|byte| !is_token_byte(byte));
        let (token, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        self.skip_space();
        if token.is_empty() {
            return Err(ExtensionsMalformed);
        }
        Ok(token)
    }

    /// RFC 6455, 9.1: "the value after quoted-string unescaping MUST conform to the 'token' ABNF."
    fn quoted(&mut self) -> Result<Cow<'v, str>, ExtensionsMalformed> {
        let mut value = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        let end = loop {
            match characters.next().ok_or(ExtensionsMalformed)? {
                (end, '"') => break end,
                (_, '\\') => value.push(characters.next().ok_or(ExtensionsMalformed)?.1),
                (_, character) => value.push(character),
            }
        };
        self.rest = &self.rest[end + 1..];
        self.skip_space();
        if value.is_empty() || !value.bytes().all(is_token_byte) {
            return Err(ExtensionsMalformed);
        }
        Ok(Cow::Owned(value))
    }

    /// Takes a mark with the spaces behind it, if it is next.
    fn take(&mut self, mark: char) -> bool {
        let Some(rest) = self.rest.strip_prefix(mark) else {
            return false;
        };
        self.rest = rest;
        self.skip_space();
        true
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }
}

/// RFC 9110, 5.6.2: "tchar".
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
