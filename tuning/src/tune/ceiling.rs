//! The kernel's ceiling of the descriptor limit.
//!
//! A limit above it cannot be set, not even by root, and pam_limits then refuses the session: a file that asks for it keeps
//! everyone from logging in, those who could mend it included.

use super::boot::{self, Others};
use super::plan::Step;
use crate::root::Root;
use crate::value::Value;

const SETTING: &str = "fs.nr_open";
/// What the kernel has until somebody sets it.
const KERNELS_OWN: u64 = 1 << 20;

/// What `fs.nr_open` allows now and after the next boot.
pub struct Ceiling {
    number: u64,
    why: String,
    /// The highest limit that was cut.
    cut: Option<u64>,
}

impl Ceiling {
    /// The ceiling once these steps are done and `sysctls` is what our file sets.
    pub fn find(root: &Root, steps: &[&Step], sysctls: &str, others: &Others) -> Self {
        let step = steps.iter().find(|step| step.name == SETTING);
        let live = || {
            let path = format!("/proc/sys/{}", SETTING.replace('.', "/"));
            Value::parse(&root.read(&path)?)?.first()
        };
        let now = step.map_or_else(live, |step| step.new.first());
        let now = now.unwrap_or(KERNELS_OWN);
        let ours = boot::value(sysctls, SETTING).and_then(|value| value.first());
        let (at_boot, path) = others.least(SETTING, ours, KERNELS_OWN);
        let by = path.map_or_else(
            || format!("no file sets it at boot, when it is {at_boot}"),
            |path| format!("{path} sets it to {at_boot} at boot"),
        );
        let (number, why) = if at_boot < now {
            (at_boot, by)
        } else {
            (now, format!("it is {now}"))
        };
        Ceiling {
            number,
            why,
            cut: None,
        }
    }

    /// What can be written for a limit of which so much is wanted.
    pub fn of_limit(&mut self, name: &str, wanted: u64) -> u64 {
        if name != "nofile" || wanted <= self.number {
            return wanted;
        }
        self.cut = self.cut.max(Some(wanted));
        self.number
    }

    /// What the operator should know, if a limit was cut.
    pub fn note(&self) -> Option<String> {
        let (wanted, number, why) = (Value::from(self.cut?), self.number, &self.why);
        Some(format!(
            "nofile: no limit above {number} is written, though {wanted} is wanted: one above {SETTING} keeps everyone from logging in, and {why}. Raise {SETTING} for good (in a container: on the host), then apply again"
        ))
    }
}
