//! temp
pub mod cli;
pub mod config;
pub mod devnet;
pub mod logging;
pub mod requests;
