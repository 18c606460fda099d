//! The addresses of a node.

use std::net::SocketAddr;

use ringmain_rt::socket::{self, Bound};
use ringmain_rt::{Listener, TcpOptions};

use crate::node::NodeConfig;
use crate::node_errors::StartError;

/// Where the shards listen, the ports known.
#[derive(Clone, Copy)]
pub struct Addresses {
    pub plain: SocketAddr,
    pub tls: Option<SocketAddr>,
}

impl Addresses {
    pub fn reserve(config: &NodeConfig) -> Result<Self, StartError> {
        let reserve = |address| {
            socket::reserve(address).map_err(|source| StartError::Listen { address, source })
        };
        Ok(Addresses {
            plain: reserve(config.listen)?,
            tls: config.tls_listen.map(reserve).transpose()?,
        })
    }
}

/// The sockets of one shard that are to listen.
pub struct AllBound {
    plain: Bound,
    tls: Option<Bound>,
}

impl AllBound {
    pub fn new(addresses: Addresses, options: TcpOptions) -> Result<Self, StartError> {
        let bind = |address| {
            Bound::new(address, options).map_err(|source| StartError::Listen { address, source })
        };
        Ok(AllBound {
            plain: bind(addresses.plain)?,
            tls: addresses.tls.map(bind).transpose()?,
        })
    }

    pub fn listen(
        self,
        addresses: Addresses,
        backlog: u32,
    ) -> Result<(Listener, Option<Listener>), StartError> {
        let listen = |bound: Bound, address| {
            let listener = bound.listen(backlog);
            listener.map_err(|source| StartError::Listen { address, source })
        };
        let plain = listen(self.plain, addresses.plain)?;
        let tls = self.tls.zip(addresses.tls);
        let tls = tls.map(|(bound, address)| listen(bound, address));
        Ok((plain, tls.transpose()?))
    }
}
