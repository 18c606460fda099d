//! What the settings come to on this host.

use std::fmt;

use ringmain_core::Limits;
use ringmain_router::SHARDS_MAX;

use crate::config::Settings;
use crate::config::cpus::{CpuList, CpuSelection};
use crate::config::value::{AdminAddress, ByteSize};
use crate::host::{Host, Memory};

/// Of the memory that the process may use, what messages may take by default.
const MEMORY_NUMERATOR: u64 = 3;
const MEMORY_DENOMINATOR: u64 = 4;

/// Shards, their CPUs and their bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The CPU of each shard.
    pub cpus: Vec<usize>,
    /// What all shards may hold together, in bytes.
    pub memory_bytes_max: u64,
    /// Where that comes from.
    pub memory_reason: &'static str,
    /// The bounds of each shard.
    pub limits: Limits,
}

/// Settings that this host cannot meet, or that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A CPU that is not there, or not for this process.
    #[error("`cpus` names CPU {cpu}; the process may use {}", CpuList(.allowed.clone()))]
    CpuNotAllowed {
        /// The CPU.
        cpu: usize,
        /// Those that the process may use.
        allowed: Vec<usize>,
    },
    /// More memory than there is.
    #[error("`memory_bytes_max` is {}; the process may use {}, of which 3/4 are the default", ByteSize(*.wanted).readable(), ByteSize(*.available).readable())]
    MemoryTooLarge {
        /// What was asked for.
        wanted: u64,
        /// What there is.
        available: u64,
    },
    /// One slow client would fill a shard's memory.
    #[error("each of {shards} shards has {} of memory, and one client's outbox and message may take {}: raise `memory_bytes_max`, or lower `shards`, `message_bytes_max` or `outbox_soft_bytes`", ByteSize(*.share).readable(), ByteSize(*.needed).readable())]
    MemoryTooSmall {
        /// How many shards.
        shards: usize,
        /// What each has.
        share: u64,
        /// What each needs.
        needed: u64,
    },
    /// More would wait for a slow consumer than lets it be read.
    #[error(
        "`{key}` is {bytes}; at most `outbox_soft_bytes`, which is {outbox}, may wait for a member: lower the one, or raise the other"
    )]
    QueueTooLarge {
        /// The queue's key.
        key: String,
        /// Its value.
        bytes: ByteSize,
        /// The bound.
        outbox: ByteSize,
    },
    /// Two addresses are one.
    #[error(
        "`{0}` and `{1}` are both {2}: choose another port for one of them, or `{1} = \"off\"`"
    )]
    SameAddress(&'static str, &'static str, std::net::SocketAddr),
}

impl Plan {
    /// Makes the plan.
    ///
    /// # Errors
    /// Says what does not fit, and what to change.
    pub fn new(settings: &Settings, host: &Host) -> Result<Self, PlanError> {
        let all = [
            ("listen", AdminAddress::At(settings.listen.0)),
            ("tls_listen", settings.tls_listen),
            ("admin", settings.admin),
        ];
        for (index, (first, address)) in all.into_iter().enumerate() {
            let AdminAddress::At(address) = address else {
                continue;
            };
            let mut others = all[index + 1..].iter();
            let same = others.find(|(_, other)| *other == AdminAddress::At(address));
            if let Some((second, _)) = same
                && address.port() != 0
            {
                return Err(PlanError::SameAddress(first, second, address));
            }
        }
        Self::on(cpus_of_shards(settings, host)?, settings, host)
    }

    /// The plan for the same shards with other settings.
    ///
    /// # Errors
    /// Says what does not fit, and what to change.
    pub fn renewed(&self, settings: &Settings, host: &Host) -> Result<Self, PlanError> {
        Self::on(self.cpus.clone(), settings, host)
    }

    fn on(cpus: Vec<usize>, settings: &Settings, host: &Host) -> Result<Self, PlanError> {
        if let Some((key, bytes)) = settings.queue_above_outbox() {
            let outbox = settings.outbox_soft_bytes;
            return Err(PlanError::QueueTooLarge { key, bytes, outbox });
        }
        let (memory_bytes_max, memory_reason) = memory(settings, host.memory)?;
        let shards = cpus.len();
        let share = memory_bytes_max / shards as u64;
        let limits = settings.limits(usize::try_from(share).unwrap_or(usize::MAX));
        let needed = (limits.outbox_hard() + limits.message_bytes_max) as u64;
        if share < needed {
            return Err(PlanError::MemoryTooSmall {
                shards,
                share,
                needed,
            });
        }
        Ok(Plan {
            cpus,
            memory_bytes_max,
            memory_reason,
            limits,
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, share) = (self.memory_bytes_max, self.limits.memory_bytes_max as u64);
        let cpus: Vec<String> = self.cpus.iter().map(ToString::to_string).collect();
        writeln!(
            f,
            "{:<12} {} on CPU {}",
            "shards",
            self.cpus.len(),
            cpus.join(", ")
        )?;
        writeln!(
            f,
            "{:<12} {} for messages ({}), {} a shard",
            "memory",
            ByteSize(all).readable(),
            self.memory_reason,
            ByteSize(share).readable()
        )
    }
}

/// One entry a shard: the CPUs in turn.
fn cpus_of_shards(settings: &Settings, host: &Host) -> Result<Vec<usize>, PlanError> {
    let cpus = match &settings.cpus {
        CpuSelection::Allowed => &host.cpus,
        CpuSelection::List(list) => &list.0,
    };
    if let Some(&cpu) = cpus.iter().find(|cpu| !host.cpus.contains(cpu)) {
        return Err(PlanError::CpuNotAllowed {
            cpu,
            allowed: host.cpus.clone(),
        });
    }
    let shards = match settings.shards.0 {
        0 => cpus.len().min(SHARDS_MAX),
        shards => shards as usize,
    };
    Ok(cpus.iter().copied().cycle().take(shards).collect())
}

fn memory(settings: &Settings, available: Memory) -> Result<(u64, &'static str), PlanError> {
    match settings.memory_bytes_max.0 {
        0 => {
            let bytes = available.bytes / MEMORY_DENOMINATOR * MEMORY_NUMERATOR;
            let reason = if available.is_cgroup {
                "3/4 of the control group's limit"
            } else {
                "3/4 of the host's memory"
            };
            Ok((bytes, reason))
        }
        wanted if wanted > available.bytes => Err(PlanError::MemoryTooLarge {
            wanted,
            available: available.bytes,
        }),
        wanted => Ok((wanted, "as configured")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::Count;

    const MIB: u64 = 1 << 20;

    fn host(cpus: &[usize]) -> Host {
        Host {
            cpus: cpus.to_vec(),
            memory: Memory {
                bytes: 1024 * MIB,
                is_cgroup: true,
            },
        }
    }

    #[test]
    fn by_default_there_is_one_shard_a_core_and_three_quarters_of_the_memory() {
        let plan = Plan::new(&Settings::default(), &host(&[2, 5])).unwrap();
        assert_eq!(plan.cpus, [2, 5]);
        assert_eq!(plan.memory_bytes_max, 768 * MIB);
        assert_eq!(plan.limits.memory_bytes_max as u64, 384 * MIB);
        assert_eq!(plan.memory_reason, "3/4 of the control group's limit");
    }

    #[test]
    fn there_are_never_more_shards_than_a_mask_holds() {
        let cpus: Vec<usize> = (0..128).collect();
        assert_eq!(
            Plan::new(&Settings::default(), &host(&cpus))
                .unwrap()
                .cpus
                .len(),
            SHARDS_MAX
        );
    }

    #[test]
    fn shards_take_the_cpus_in_turn() {
        let settings = Settings {
            shards: Count(5),
            cpus: "3,1".parse().unwrap(),
            ..Settings::default()
        };
        assert_eq!(
            Plan::new(&settings, &host(&[0, 1, 3])).unwrap().cpus,
            [3, 1, 3, 1, 3]
        );
    }

    #[test]
    fn a_cpu_that_is_not_allowed_is_refused_with_those_that_are() {
        let settings = Settings {
            cpus: "0-4".parse().unwrap(),
            ..Settings::default()
        };
        let error = Plan::new(&settings, &host(&[0, 1, 3])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`cpus` names CPU 2; the process may use 0-1,3"
        );
    }

    #[test]
    fn memory_has_to_be_there_and_to_suffice() {
        let with = |bytes| Settings {
            memory_bytes_max: ByteSize(bytes),
            ..Settings::default()
        };
        let error = Plan::new(&with(1536 * MIB), &host(&[0])).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("is 1.5 GiB; the process may use 1 GiB")
        );
        let error = Plan::new(&with(2 * MIB), &host(&[0, 1])).unwrap_err();
        assert!(
            error.to_string().contains("raise `memory_bytes_max`"),
            "{error}"
        );
        let plan = Plan::new(&with(4 * MIB), &host(&[0, 1])).unwrap();
        assert_eq!(plan.limits.memory_bytes_max as u64, 2 * MIB);
    }

    #[test]
    fn one_address_is_not_for_two() {
        let same = |address: &str| Settings {
            listen: address.parse().unwrap(),
            admin: address.parse().unwrap(),
            ..Settings::default()
        };
        assert!(Plan::new(&same("127.0.0.1:9000"), &host(&[0])).is_err());
        assert!(Plan::new(&same("127.0.0.1:0"), &host(&[0])).is_ok());
    }
}
