//! The Stratum server: sessions, dialects, vardiff, limits.
