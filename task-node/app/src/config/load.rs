//! Layers: defaults, then the TOML file, then `ORCAPOOL_*` variables, then flags.

use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::util::nest;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider, Source};

use super::raw::RawConfig;

/// Prefix of environment variables; `__` separates tables: `ORCAPOOL_HTTP__LISTEN`.
const ENV_PREFIX: &str = "ORCAPOOL_";
/// Variables with the prefix that are not configuration keys: the devnet's bitcoind and K2 program, the file itself, the
/// scripts' cache, and what the tests are told.
const NOT_CONFIGURATION: [&str; 16] = [
    "BASE",
    "BIN",
    "BITCOIND",
    "CACHE",
    "CONFIG",
    "DOCKER",
    "ELECTRUMX",
    "FAULT_AT",
    "FAULT_LIST",
    "IPFS_NODE",
    "K2_PROGRAM",
    "ORCA",
    "ORCA_CLIENT",
    "SBF_SELFTEST",
    "SCENARIOS",
    "WEB3",
];

/// Why no configuration could be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The named file is not there.
    #[error("configuration file {0} not found")]
    NotFound(PathBuf),
    /// A `--set` that is not `key=value`.
    #[error("`--set {0}` is not of the form key=value, for example http.listen=127.0.0.1:8080")]
    Assignment(String),
    /// One or more keys are wrong.
    #[error("{}", .0.join("\n"))]
    Keys(Vec<String>),
}

/// Reads all layers. `assignments` are the flags, as `key=value` with the key in dotted form.
///
/// # Errors
/// [`LoadError`]: every wrong key is named, with where it came from and the likely intention.
pub fn load(file: Option<&Path>, assignments: &[String]) -> Result<RawConfig, LoadError> {
    let mut figment = Figment::from(Serialized::defaults(RawConfig::default()));
    if let Some(file) = file {
        if !file.is_file() {
            return Err(LoadError::NotFound(file.to_owned()));
        }
        figment = figment.merge(Toml::file_exact(file));
    }
    let variables = Env::prefixed(ENV_PREFIX)
        .ignore(&NOT_CONFIGURATION)
        .split("__");
    for (key, text) in variables.iter() {
        figment = figment.merge(Variable {
            of: &variables,
            key: key.as_str(),
            value: value(&text),
        });
    }
    for assignment in assignments {
        let (key, text) = assignment
            .split_once('=')
            .filter(|(key, _)| !key.trim().is_empty())
            .ok_or_else(|| LoadError::Assignment(assignment.clone()))?;
        figment = figment.merge(Serialized::global(key.trim(), value(text)));
    }
    figment
        .extract()
        .map_err(|error| LoadError::Keys(error.into_iter().map(explain).collect()))
}

/// One environment variable; errors name all of them.
struct Variable<'a> {
    of: &'a Env,
    key: &'a str,
    value: Value,
}

impl Provider for Variable<'_> {
    fn metadata(&self) -> Metadata {
        self.of.metadata()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let nested = nest(self.key, self.value.clone()).into_dict();
        Ok(Profile::Default.collect(nested.unwrap_or_default()))
    }
}

/// The value grammar of variables and flags: numbers, booleans, arrays, tables, else a string.
fn value(text: &str) -> Value {
    // figment 0.10 takes the number of a character for that of a byte where a string has an escape: with other characters
    // than ASCII before it, it cuts the string off, or panics. Such a text is TOML, or a plain string.
    if text.is_ascii() || !text.contains('\\') {
        return text
            .parse()
            .unwrap_or_else(|never: std::convert::Infallible| match never {});
    }
    let mut table: Dict = toml::from_str(&format!("value = {text}")).unwrap_or_default();
    match (table.remove("value"), table.is_empty()) {
        (Some(value), true) => value,
        _ => Value::from(text),
    }
}

/// One sentence for one wrong key.
fn explain(error: figment::Error) -> String {
    let from = match error
        .metadata
        .as_ref()
        .map(|metadata| (&metadata.source, &metadata.name))
    {
        Some((Some(Source::File(file)), _)) => format!(" (in {})", file.display()),
        // Environment variables have no place of their own, only a name.
        Some((None, name)) => format!(" (in {name})"),
        _ => String::new(),
    };
    let path = error.path.join(".");
    match &error.kind {
        Kind::UnknownField(field, known) => {
            let table = error
                .path
                .iter()
                .filter(|part| *part != field)
                .cloned()
                .collect::<Vec<_>>();
            let place = if table.is_empty() {
                String::new()
            } else {
                format!(" in [{}]", table.join("."))
            };
            let hint = nearest(field, known).map_or_else(
                || format!("known keys: {}", known.join(", ")),
                |name| format!("did you mean `{name}`?"),
            );
            format!("unknown key `{field}`{place}{from}: {hint}")
        }
        kind => {
            let key = if path.is_empty() {
                "configuration"
            } else {
                &path
            };
            format!("{key}{from}: {kind}")
        }
    }
}

/// The known name that `given` was most likely meant to be.
pub fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(given, name), *name))
        .filter(|(distance, name)| *distance <= name.len().max(given.len()) / 3 + 1)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::result_large_err)]
mod tests {
    use figment::Jail;

    use super::*;

    #[test]
    fn figment_cuts_strings_off_where_other_characters_stand_before_an_escape() {
        for (text, read) in [
            (r#""p\u00e4ss\"wort""#, "päss\"wort".to_owned()),
            (r#""pässwörter\"x""#, "pässwörter\"x".to_owned()),
            (r#""ä\\""#, "ä\\".to_owned()),
            ("\"\r\u{1}\\é\"", "\"\r\u{1}\\é\"".to_owned()),
            ("ä\\n", "ä\\n".to_owned()),
            ("\"ä\\n\"\nother = 1", "\"ä\\n\"\nother = 1".to_owned()),
        ] {
            assert_eq!(value(text).as_str(), Some(read.as_str()), "{text}");
        }
        assert_eq!(
            value(r#"["ä\\"]"#).into_array().unwrap(),
            [Value::from("ä\\")]
        );
        Jail::expect_with(|jail| {
            jail.set_env("ORCAPOOL_BITCOIN__NETWORK", r#""ä\\""#);
            let raw = load(None, &[]).unwrap();
            assert_eq!(raw.bitcoin.network, "ä\\");
            Ok(())
        });
    }

    #[test]
    fn layers_override_in_order() {
        Jail::expect_with(|jail| {
            jail.create_file(
                "pool.toml",
                "[http]\nlisten = \"127.0.0.1:1\"\n[stratum]\nshares_per_minute = 5\nmax_connections = 7",
            )?;
            jail.set_env("ORCAPOOL_STRATUM__SHARES_PER_MINUTE", "6");
            jail.set_env("ORCAPOOL_BITCOIND", "/somewhere/bitcoind");
            jail.set_env("ORCAPOOL_CACHE", "/somewhere");
            jail.set_env("ORCAPOOL_CONTENT__GATEWAYS", "[\"http://a\", \"http://b\"]");
            let config = load(
                Some(Path::new("pool.toml")),
                &["http.listen=127.0.0.1:2".to_owned()],
            )
            .unwrap();
            assert_eq!(config.http.listen, "127.0.0.1:2");
            assert_eq!(config.stratum.shares_per_minute, 6);
            assert_eq!(config.stratum.max_connections, 7);
            assert_eq!(config.stratum.idle_seconds, 600);
            assert_eq!(config.content.gateways, ["http://a", "http://b"]);
            Ok(())
        });
    }

    #[test]
    fn an_unknown_key_is_an_error_with_a_suggestion() {
        Jail::expect_with(|jail| {
            jail.create_file("pool.toml", "[http]\nlistn = \"127.0.0.1:1\"")?;
            let error = load(Some(Path::new("pool.toml")), &[])
                .unwrap_err()
                .to_string();
            assert!(error.contains("unknown key `listn` in [http]"), "{error}");
            assert!(error.contains("did you mean `listen`?"), "{error}");
            assert!(error.contains("pool.toml"), "{error}");

            let error = load(None, &["stratum.porridge=1".to_owned()])
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("unknown key `porridge` in [stratum]: "),
                "{error}"
            );
            assert!(error.contains("known keys: listen"), "{error}");
            Ok(())
        });
    }

    #[test]
    fn wrong_types_and_missing_files_are_named() {
        Jail::expect_with(|jail| {
            jail.create_file("pool.toml", "[stratum]\nmax_connections = \"many\"")?;
            let error = load(Some(Path::new("pool.toml")), &[])
                .unwrap_err()
                .to_string();
            assert!(error.contains("stratum.max_connections"), "{error}");
            assert!(matches!(
                load(Some(Path::new("absent.toml")), &[]),
                Err(LoadError::NotFound(_))
            ));
            assert!(matches!(
                load(None, &["nonsense".to_owned()]),
                Err(LoadError::Assignment(_))
            ));
            Ok(())
        });
    }
}
