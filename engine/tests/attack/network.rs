//! A network of its own, whose cable can be pulled.

use std::process::Command;

use crate::support::command;
use crate::world::load_command;

/// A network namespace that reaches this host by one cable.
pub struct Network {
    name: String,
    cable: String,
    /// This host's address on the cable.
    pub host: String,
}

fn ip(arguments: &str) -> bool {
    let status = Command::new("ip").args(arguments.split(' ')).output();
    status.is_ok_and(|output| output.status.success())
}

impl Network {
    /// `None` where this may not be made; says so.
    pub fn new(number: u8) -> Option<Self> {
        let process = std::process::id();
        // Below the 15 bytes of an interface's name.
        let network = Network {
            name: format!("ringmain-{process}-{number}"),
            cable: format!("rm{process}{number}"),
            host: format!("10.213.{number}.1"),
        };
        let Network { name, cable, host } = &network;
        let far = format!("10.213.{number}.2");
        let is_made = ip(&format!("netns add {name}"))
            && ip(&format!(
                "link add {cable} type veth peer name far netns {name}"
            ))
            && ip(&format!("address add {host}/24 dev {cable}"))
            && ip(&format!("link set {cable} up"))
            && ip(&format!("-n {name} address add {far}/24 dev far"))
            && ip(&format!("-n {name} link set far up"));
        if !is_made {
            eprintln!("skipped: no network namespaces here (they take root and the program `ip`)");
            return None;
        }
        Some(network)
    }

    /// The load generator, beyond the cable.
    pub fn load(&self, arguments: &str) -> crate::world::Load {
        let mut command = command("ip");
        command.args(["netns", "exec", &self.name]);
        load_command(command, arguments)
    }

    /// Nothing goes through any more, and nobody is told.
    pub fn pull(&self) {
        assert!(ip(&format!("-n {} link set far down", self.name)));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        ip(&format!("link delete {}", self.cable));
        ip(&format!("netns delete {}", self.name));
    }
}
