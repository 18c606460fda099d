//! `[auth]`: who may do what, and how they show who they are.

use std::fmt;

use ringmain_core::{Pattern, RefusedPublish, RoomRule};
use ringmain_shard::auth::{API_KEYS_MAX, Algorithm, KEYS_MAX};
use serde::{Deserialize, Deserializer, de};

use super::Section;
use crate::config::tls::FilePath;
use crate::config::value::Seconds;

/// Issuers, and names of an audience, that may be listed.
const NAMES_MAX: usize = 16;
/// The most that clocks may differ by, in seconds.
const LEEWAY_SECONDS_MAX: f64 = 3_600.0;
/// The longest wait for a token as a first message, in seconds.
const MESSAGE_SECONDS_MAX: f64 = 600.0;

/// The section.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// What tokens are verified by.
    pub keys: Vec<AuthKey>,
    /// A file with a set of such keys.
    pub jwks_file: FilePath,
    /// Whose tokens are taken; anybody's, if there is none.
    #[serde(deserialize_with = "one_or_several")]
    pub issuer: Vec<String>,
    /// For whom they have to be meant.
    #[serde(deserialize_with = "one_or_several")]
    pub audience: Vec<String>,
    /// By how much clocks may differ.
    pub leeway_seconds: Seconds,
    /// The cookie that may hold a token.
    pub cookie: Option<String>,
    /// The query parameter that may hold a token.
    pub query_parameter: Option<String>,
    /// How long a client with `?auth=message` has for its token; 0: it is not let in.
    pub message_seconds: Seconds,
    /// What becomes of a message to a room where its sender may not publish.
    #[serde(deserialize_with = "refused_publish")]
    pub refused_publish: RefusedPublish,
    /// What those may do who show nothing.
    pub anonymous: Option<Vec<AuthRule>>,
    /// Keys of back ends, for publishing.
    pub api_keys: Vec<AuthApiKey>,
}

impl Default for Auth {
    fn default() -> Self {
        Auth {
            keys: Vec::new(),
            jwks_file: FilePath::default(),
            issuer: Vec::new(),
            audience: Vec::new(),
            leeway_seconds: Seconds(30.0),
            cookie: None,
            query_parameter: None,
            message_seconds: Seconds(10.0),
            refused_publish: RefusedPublish::Close,
            anonymous: None,
            api_keys: Vec::new(),
        }
    }
}

/// `[[auth.keys]]`: one key.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthKey {
    /// What tokens call it, in `kid`.
    pub id: Option<String>,
    /// What it is for.
    #[serde(deserialize_with = "algorithm")]
    pub algorithm: Algorithm,
    /// The secret itself.
    pub secret: Option<Secret>,
    /// Where the secret is.
    #[serde(default)]
    pub secret_file: FilePath,
    /// The public key itself, in PEM.
    pub public_key: Option<String>,
    /// Where the public key is.
    #[serde(default)]
    pub public_key_file: FilePath,
}

/// `[[auth.anonymous]]`: what may be done in some rooms.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthRule {
    /// Which rooms.
    #[serde(rename = "match", deserialize_with = "super::rooms::pattern")]
    pub pattern: Pattern,
    /// To become a member, or listen.
    #[serde(default)]
    pub join: bool,
    /// To publish.
    #[serde(default)]
    pub publish: bool,
}

impl From<&AuthRule> for RoomRule {
    fn from(rule: &AuthRule) -> Self {
        RoomRule {
            rooms: rule.pattern.clone(),
            join: rule.join,
            publish: rule.publish,
        }
    }
}

/// `[[auth.api_keys]]`: the key of one back end.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthApiKey {
    /// Whose it is.
    pub name: String,
    /// The key itself.
    pub key: Option<Secret>,
    /// Where it is.
    #[serde(default)]
    pub key_file: FilePath,
    /// Its SHA-256 digest in hexadecimal digits.
    pub sha256: Option<String>,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde's own words would say what was found instead.
        let text = String::deserialize(deserializer);
        text.map(Secret)
            .map_err(|_| de::Error::custom("expected a text in quotes"))
    }
}

/// What is shown in its place.
const WITHHELD: &str = "(withheld)";

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WITHHELD)
    }
}

fn algorithm<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Algorithm, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(de::Error::custom)
}

fn refused_publish<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RefusedPublish, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "close" => Ok(RefusedPublish::Close),
        "drop" => Ok(RefusedPublish::Drop),
        _ => Err(de::Error::custom("expected `close` or `drop`")),
    }
}

fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        One(String),
        Several(Vec<String>),
    }
    match Names::deserialize(deserializer) {
        Ok(Names::One(name)) => Ok(vec![name]),
        Ok(Names::Several(names)) => Ok(names),
        Err(_) => Err(de::Error::custom("expected a name, or a list of names")),
    }
}

/// Whether exactly one of these is set.
fn is_one(set: &[bool]) -> bool {
    set.iter().filter(|set| **set).count() == 1
}

impl AuthKey {
    fn check(&self) -> Result<(), String> {
        let secret = [self.secret.is_some(), self.secret_file.path().is_some()];
        let public = [
            self.public_key.is_some(),
            self.public_key_file.path().is_some(),
        ];
        let (wanted, unwanted, names) = match self.algorithm.has_secret() {
            true => (secret, public, "`secret_file` or `secret`"),
            false => (public, secret, "`public_key_file` or `public_key`"),
        };
        if is_one(&wanted) && unwanted == [false, false] {
            return Ok(());
        }
        Err(format!(
            "a key for {} has either {names}, and nothing else of these",
            self.algorithm
        ))
    }

    fn toml(&self) -> String {
        let mut lines = format!(
            "[[auth.keys]]\nalgorithm = {}\n",
            text(self.algorithm.name())
        );
        if let Some(id) = &self.id {
            lines += &format!("id = {}\n", text(id));
        }
        if self.secret.is_some() {
            lines += &format!("secret = {}\n", text(WITHHELD));
        }
        for (key, path) in [
            ("secret_file", &self.secret_file),
            ("public_key_file", &self.public_key_file),
        ] {
            if path.path().is_some() {
                lines += &format!("{key} = {}\n", text(&path.0));
            }
        }
        if let Some(pem) = &self.public_key {
            lines += &format!("public_key = {}\n", text(pem));
        }
        lines
    }
}

impl AuthApiKey {
    fn check(&self) -> Result<(), String> {
        let sources = [
            self.key.is_some(),
            self.key_file.path().is_some(),
            self.sha256.is_some(),
        ];
        match is_one(&sources) && !self.name.is_empty() {
            true => Ok(()),
            false => {
                Err("an API key has a `name`, and either `sha256`, `key_file` or `key`".to_owned())
            }
        }
    }

    fn toml(&self) -> String {
        let source = match (&self.sha256, self.key_file.path()) {
            (Some(digest), _) => format!("sha256 = {}", text(digest)),
            (None, Some(_)) => format!("key_file = {}", text(&self.key_file.0)),
            (None, None) => format!("key = {}", text(WITHHELD)),
        };
        format!("[[auth.api_keys]]\nname = {}\n{source}\n", text(&self.name))
    }
}

fn text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list(names: &[String]) -> String {
    let names = names.iter().cloned().map(toml::Value::String).collect();
    toml::Value::Array(names).to_string()
}

impl Auth {
    /// What it comes to, for the log: nothing of a key.
    fn told(&self) -> String {
        let keys = self.keys.len();
        let set = self.jwks_file.path().map_or("", |_| " and a set of keys");
        let api_keys = self.api_keys.len();
        format!("{keys} keys{set}, {api_keys} API keys")
    }

    /// What of it is not what it is in `new`, if anything.
    pub fn change(&self, new: &Auth) -> Option<(&'static str, String, String)> {
        (self != new).then(|| ("[auth]", self.told(), new.told()))
    }
}

impl Section for Auth {
    const NAME: &'static str = "auth";
    const HAS_SECRETS: bool = true;
    const EXAMPLE: &'static str = r#"Who may do what, and how they show it. As long as there is neither a key nor [[auth.anonymous]], everybody may do
everything; once there is a key, who shows no token may do nothing. See docs/authentication.md.
[auth]
issuer = "https://login.example.org"  # a name or a list; whose tokens are taken
audience = "ringmain"                 # a name or a list; for whom they have to be meant
leeway_seconds = 30                   # by how much clocks may differ
cookie = "session"                    # a cookie that may hold a token, beside Authorization and the subprotocol
query_parameter = "token"             # a query parameter that may; not set: none, since URLs are logged
message_seconds = 10                  # time for the token as first message, with ?auth=message; 0: not allowed
refused_publish = "close"             # what becomes of a message that its sender may not publish: close or drop
jwks_file = "/etc/ringmain/jwks.json" # keys as identity providers publish them
[[auth.keys]]
id = "2026"                           # `kid` of the tokens that it is for
algorithm = "HS256"                   # HS256 with secret_file or secret; RS256, ES256, EdDSA with public_key_file or public_key
secret_file = "/etc/ringmain/secret"
[[auth.anonymous]]                    # what those may do who show nothing
match = "public:*"
join = true
publish = false
[[auth.api_keys]]                     # back ends that publish, by Authorization: Bearer
name = "shop"
sha256 = "d0b71b0ba6d5ca2b5ac9b53d4c5c2e5b8ad4ba3b4aee6b5e5b5a8ae7d8d9a2f1" # of the key; or key_file, or key
"#;

    fn check(&self) -> Result<(), (&'static str, String)> {
        let within = |key, count: usize, most: usize| match count <= most {
            true => Ok(()),
            false => Err((
                key,
                format!("there are {count}; at most {most} are allowed"),
            )),
        };
        within("keys", self.keys.len(), KEYS_MAX)?;
        within("api_keys", self.api_keys.len(), API_KEYS_MAX)?;
        within("issuer", self.issuer.len(), NAMES_MAX)?;
        within("audience", self.audience.len(), NAMES_MAX)?;
        let rules = self.anonymous.as_ref().map_or(0, Vec::len);
        within("anonymous", rules, ringmain_core::access::RULES_MAX)?;
        for (key, seconds, most) in [
            ("leeway_seconds", self.leeway_seconds, LEEWAY_SECONDS_MAX),
            ("message_seconds", self.message_seconds, MESSAGE_SECONDS_MAX),
        ] {
            if !(0.0..=most).contains(&seconds.0) {
                return Err((key, format!("it is {seconds}; allowed: 0 to {most}")));
            }
        }
        for (key, name) in [
            ("cookie", &self.cookie),
            ("query_parameter", &self.query_parameter),
        ] {
            let is_name = |name: &String| {
                let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
                !name.is_empty() && name.bytes().all(is_part)
            };
            if name.as_ref().is_some_and(|name| !is_name(name)) {
                let problem = "it has to be letters, digits, `-`, `_` and `.`".to_owned();
                return Err((key, problem));
            }
        }
        for key in &self.keys {
            key.check().map_err(|problem| ("keys", problem))?;
        }
        for key in &self.api_keys {
            key.check().map_err(|problem| ("api_keys", problem))?;
        }
        Ok(())
    }

    fn toml(&self) -> String {
        let refused = match self.refused_publish {
            RefusedPublish::Close => "close",
            RefusedPublish::Drop => "drop",
        };
        let mut lines = format!(
            "issuer = {}\naudience = {}\nleeway_seconds = {}\nmessage_seconds = {}\nrefused_publish = {}\n",
            list(&self.issuer),
            list(&self.audience),
            self.leeway_seconds,
            self.message_seconds,
            text(refused),
        );
        for (key, name) in [
            ("cookie", &self.cookie),
            ("query_parameter", &self.query_parameter),
        ] {
            if let Some(name) = name {
                lines += &format!("{key} = {}\n", text(name));
            }
        }
        if self.jwks_file.path().is_some() {
            lines += &format!("jwks_file = {}\n", text(&self.jwks_file.0));
        }
        lines.extend(self.keys.iter().map(AuthKey::toml));
        for rule in self.anonymous.iter().flatten() {
            let (pattern, AuthRule { join, publish, .. }) = (text(rule.pattern.as_str()), rule);
            lines += &format!(
                "[[auth.anonymous]]\nmatch = {pattern}\njoin = {join}\npublish = {publish}\n"
            );
        }
        lines.extend(self.api_keys.iter().map(AuthApiKey::toml));
        lines
    }
}
