//! What an operator can set.

use std::time::Duration;

use pow::ShareDifficulty;

/// Everything the server can be told.
#[derive(Debug, Clone, Default)]
pub struct ServerSettings {
    /// How a session behaves.
    pub session: SessionSettings,
    /// What connections may use up.
    pub limits: Limits,
}

/// How a session behaves.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// No job is easier than this, whatever a client asks for.
    pub min_difficulty: ShareDifficulty,
    /// What vardiff aims for, at least 1.
    pub shares_per_minute: u32,
    /// A job earns this long after it was sent.
    pub job_lifetime: Duration,
    /// A client has this long to subscribe and authorize.
    pub authorize_timeout: Duration,
    /// A client has this long from its first job to its first accepted share.
    pub first_share_timeout: Duration,
    /// A client that has work may be silent this long.
    pub idle_timeout: Duration,
    /// This many shares rejected in a row end the session.
    pub max_rejects_in_a_row: u32,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            min_difficulty: ShareDifficulty::MIN,
            shares_per_minute: 18,
            job_lifetime: Duration::from_secs(600),
            authorize_timeout: Duration::from_secs(60),
            first_share_timeout: Duration::from_secs(900),
            idle_timeout: Duration::from_secs(900),
            max_rejects_in_a_row: 200,
        }
    }
}

/// What connections may use up.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections in total.
    pub max_connections: usize,
    /// Connections from one IPv4 address or one IPv6 /64.
    pub max_connections_per_ip: usize,
    /// A client that reads nothing for this long is dropped.
    pub write_timeout: Duration,
    /// How long an address that misbehaved stays away.
    pub ban: Duration,
    /// How often a session looks at its clock.
    pub tick: Duration,
    /// How long a shutdown waits for shares that are being recorded.
    pub shutdown_grace: Duration,
    /// Shares remembered between two blocks (about 50 bytes each).
    pub remembered_shares: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 4_096,
            max_connections_per_ip: 256,
            write_timeout: Duration::from_secs(30),
            ban: Duration::from_secs(600),
            tick: Duration::from_secs(2),
            shutdown_grace: Duration::from_secs(5),
            remembered_shares: 4_000_000,
        }
    }
}

/// One way in. Several ports can start their clients at several difficulties.
#[derive(Debug, Clone, Copy)]
pub struct PortSettings {
    /// The difficulty a session starts at, unless its client asks for another.
    pub start_difficulty: ShareDifficulty,
}
