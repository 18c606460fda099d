//! The cluster that a node is part of, as configured.

use std::fmt;
use std::str::FromStr;

use ringmain_router::cluster::{ClusterName, NodeName};
use serde::{Deserialize, Deserializer, de};

use super::value::{ValueError, deserialize_from_text};

deserialize_from_text!(ServerList);
deserialize_from_text!(Cluster);
deserialize_from_text!(Node);

/// The addresses of NATS servers; empty for no cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerList(pub Vec<String>);

impl FromStr for ServerList {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let servers = text.split(',').map(str::trim);
        let servers = servers.filter(|server| !server.is_empty());
        // Secrets in addresses would be shown with them.
        let expected = "addresses such as nats://127.0.0.1:4222; user and password have their keys in [cluster]";
        let is_plain = |server: &&str| {
            let rest = server.split_once("://").map_or(*server, |(_, rest)| rest);
            let scheme = server
                .split_once("://")
                .map_or("nats", |(scheme, _)| scheme);
            matches!(scheme, "nats" | "tls")
                && !rest.is_empty()
                && !rest.contains(['@', '/', '?', ' '])
        };
        match servers.clone().all(|server| is_plain(&server)) {
            true => Ok(ServerList(servers.map(str::to_owned).collect())),
            false => Err(ValueError::new("(not shown)", expected)),
        }
    }
}

impl fmt::Display for ServerList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

const NAME: &str = "1 to 32 letters, digits, `-` or `_` of ASCII";

/// The name of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster(pub ClusterName);

impl FromStr for Cluster {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let name = text.parse();
        name.map(Cluster).map_err(|_| ValueError::new(text, NAME))
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of this node, if it has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node(pub Option<NodeName>);

impl FromStr for Node {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.is_empty() {
            return Ok(Node(None));
        }
        let name = text.parse();
        name.map(|name| Node(Some(name)))
            .map_err(|_| ValueError::new(text, NAME))
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |name| name.fmt(f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hold_no_secrets() {
        let read = |text: &str| text.parse::<ServerList>();
        let two = read("nats://a:4222, tls://b").unwrap();
        assert_eq!(two.0, ["nats://a:4222", "tls://b"]);
        assert_eq!(read("").unwrap(), ServerList::default());
        for bad in ["http://a", "nats://me:hush@a:4222", "nats://", "ws://a"] {
            let error = read(bad).unwrap_err().to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
