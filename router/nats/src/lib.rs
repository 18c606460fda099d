//! Drives a [`ClusterLink`](ringmain_router::cluster::ClusterLink) over NATS, on the control plane's runtime.
//!
//! The [driver](Driver), a task, owns the link and the control plane's end of the mesh; it reads what the broker sends
//! as it comes, hands it to the shards without waiting for them, and is never held up. Two drainers
//! alone, one for each way to the broker, await the client library, which waits for a broker that takes nothing;
//! what is for the broker waits in the link's own queue meanwhile, whose bounds are known.
#![forbid(unsafe_code)]

mod check;
mod connect;
mod drainer;
mod driver;
mod gate;
mod listening;
mod status;
mod way;

pub use check::{check_authorities, check_credentials, check_nkey, check_own};
pub use connect::{Auth, NatsConfig, NatsError, Tls};
pub use driver::{Driver, Handle};
pub use status::{NodeStatus, Status};
