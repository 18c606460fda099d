//! Host tuning: one table of settings, the facts of this host, and what lies between them.
//!
//! [`settings`] is the source of truth: every setting with its value for a number of connections, reason, risk
//! and source. [`facts`] reads what the host has. [`doctor`] says how many connections that allows; [`tune`]
//! changes it, and takes the change back exactly. [`generate`] writes the profiles, the table in
//! `scripts/tune.sh` and `docs/tuning.md` from the same table.
#![forbid(unsafe_code)]

pub mod doctor;
pub mod facts;
pub mod generate;
pub mod root;
pub mod settings;
pub mod tune;
pub mod value;

mod text;

pub use facts::Facts;
pub use root::Root;
pub use settings::{SETTINGS, Setting, Target};
pub use value::Value;
