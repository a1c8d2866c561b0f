//! Configuration: read once in layers ([`load`]), then parsed once into checked types ([`Config`]).
//!
//! Nothing behind this module sees a string it would have to check again.

pub mod content;
mod custody;
mod load;
mod parsed;
mod peers;
pub mod raw;
mod show;

pub use content::ContentSettings;
pub use custody::CustodySettings;
pub use load::{LoadError, load, nearest};
pub use parsed::{
    Config, ConfigError, HttpSettings, K2Settings, LogFormat, MinerSettings, StratumSettings,
};
pub use show::redacted;
