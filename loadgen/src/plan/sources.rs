//! Addresses to connect from.
//!
//! A connection is named by its two addresses and ports, so towards one server each source address
//! has as many connections as there are local ports. Loopback has sixteen million addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::PlanError;
use crate::settings::SourceChoice;

/// The share of the ports, in percent, that is planned for: the kernel tries half of them first, and its
/// search for the last free ones takes long. Some are still closing after an earlier run, too.
const PORTS_PLANNED_PERCENT: u32 = 40;
const FIRST_LOOPBACK: u32 = u32::from_be_bytes([127, 0, 0, 2]);

/// Where connections come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sources {
    /// The address that the system chooses.
    System,
    /// So many loopback addresses from 127.0.0.2 on, in turn.
    Loopback(u32),
}

impl Sources {
    /// Chooses for so many connections to a target, where each address has so many ports.
    ///
    /// # Errors
    /// The ports do not suffice.
    pub fn choose(
        choice: SourceChoice,
        target: IpAddr,
        connections: u32,
        ports: u32,
    ) -> Result<Sources, PlanError> {
        let loopback = matches!(target, IpAddr::V4(target) if target.is_loopback());
        let sources = match choice {
            SourceChoice::Count(count) if loopback => Sources::Loopback(count),
            SourceChoice::Count(_) => return Err(PlanError::SourcesNotLoopback { target }),
            SourceChoice::Auto => {
                let planned = (ports * PORTS_PLANNED_PERCENT / 100).max(1);
                match connections.div_ceil(planned) {
                    2.. if loopback => Sources::Loopback(connections.div_ceil(planned)),
                    _ => Sources::System,
                }
            }
        };
        if u64::from(connections) <= u64::from(ports) * u64::from(sources.count()) {
            return Ok(sources);
        }
        let needed = connections.div_ceil(ports.max(1));
        Err(if loopback {
            PlanError::PortsLoopback {
                connections,
                ports,
                needed,
            }
        } else {
            PlanError::Ports {
                connections,
                ports,
                needed,
            }
        })
    }

    /// How many addresses there are.
    pub fn count(self) -> u32 {
        match self {
            Sources::System => 1,
            Sources::Loopback(count) => count,
        }
    }

    /// What connection `index` binds to; `None` leaves it to the system.
    pub fn address(self, index: u32) -> Option<SocketAddr> {
        match self {
            Sources::System => None,
            Sources::Loopback(count) => {
                let address = Ipv4Addr::from(FIRST_LOOPBACK + index % count);
                Some(SocketAddr::from((address, 0)))
            }
        }
    }
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sources::System => f.write_str("1 source address"),
            Sources::Loopback(1) => f.write_str("1 source address (127.0.0.2)"),
            Sources::Loopback(count) => {
                let last = Ipv4Addr::from(FIRST_LOOPBACK + count - 1);
                write!(f, "{count} source addresses (127.0.0.2 to {last})")
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.
mod tests {
    use super::*;
    use std::collections::HashMap;

    const PORTS: u32 = 28_232;
    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn auto_takes_as_many_addresses_as_the_ports_demand() {
        for (connections, expected) in [
            (1, Sources::System),
            (11_000, Sources::System),
            (20_000, Sources::Loopback(2)),
            (100_000, Sources::Loopback(9)),
            (1_000_000, Sources::Loopback(89)),
        ] {
            let sources = Sources::choose(SourceChoice::Auto, LOOPBACK, connections, PORTS);
            assert_eq!(sources.unwrap(), expected, "{connections}");
        }
    }

    #[test]
    fn connections_spread_evenly_over_the_addresses() {
        let sources = Sources::choose(SourceChoice::Auto, LOOPBACK, 100_000, PORTS).unwrap();
        let mut uses: HashMap<SocketAddr, u32> = HashMap::new();
        for index in 0..100_000 {
            *uses.entry(sources.address(index).unwrap()).or_default() += 1;
        }
        assert_eq!(uses.len(), 9);
        assert!(uses.values().all(|&uses| uses < PORTS));
        assert!(
            uses.keys()
                .all(|address| address.ip().is_loopback() && address.port() == 0)
        );
    }

    #[test]
    fn what_has_too_few_ports_is_refused_with_the_remedy() {
        let few = Sources::choose(SourceChoice::Count(2), LOOPBACK, 100_000, PORTS);
        assert!(
            few.unwrap_err()
                .to_string()
                .contains("--source-addresses 4")
        );
        let far = Sources::choose(SourceChoice::Auto, ELSEWHERE, 100_000, PORTS);
        assert!(far.unwrap_err().to_string().contains("ip_local_port_range"));
        let not_loopback = Sources::choose(SourceChoice::Count(2), ELSEWHERE, 1, PORTS);
        assert!(not_loopback.unwrap_err().to_string().contains("loopback"));
        let enough = Sources::choose(SourceChoice::Auto, ELSEWHERE, 28_000, PORTS);
        assert_eq!(enough.unwrap(), Sources::System);
    }
}
