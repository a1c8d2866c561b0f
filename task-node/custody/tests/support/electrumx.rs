//! An ElectrumX server of one test, on top of the test's node.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Regtest;

/// The environment variable that names the program: `electrumx_server` of the PyPI package `e-x`, below version 2.
const BINARY_ENV: &str = "ORCAPOOL_ELECTRUMX";

/// Killed when the test ends.
pub struct ElectrumX {
    child: Child,
    port: u16,
}

impl ElectrumX {
    /// Starts it and waits until it listens. The node needs `-txindex`.
    pub fn start(node: &Regtest) -> Self {
        let binary = std::env::var_os(BINARY_ENV).map(PathBuf::from);
        let binary = binary.unwrap_or_else(|| {
            panic!("{BINARY_ENV} is not set: run scripts/test, which gets ElectrumX, or in bash `. scripts/lib.sh; use_cache; use_electrumx`")
        });
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .unwrap()
            .port();
        let data = node.dir().join("electrumx");
        std::fs::create_dir_all(&data).unwrap();
        let log = std::fs::File::create(data.join("log")).unwrap();
        let cookie = std::fs::read_to_string(node.cookie_file()).unwrap();
        let daemon = node
            .url()
            .replace("http://", &format!("http://{}@", cookie.trim()));
        let child = Command::new(binary)
            .env("DB_ENGINE", "leveldb")
            .env("COIN", "Bitcoin")
            .env("NET", "regtest")
            .env("DAEMON_URL", daemon)
            .env("DB_DIRECTORY", &data)
            .env("SERVICES", format!("tcp://127.0.0.1:{port}"))
            .env("PEER_DISCOVERY", "off")
            .env("ALLOW_ROOT", "1")
            .env("COST_SOFT_LIMIT", "0")
            .env("COST_HARD_LIMIT", "0")
            .env("INITIAL_CONCURRENT", "100")
            .env("REQUEST_SLEEP", "0")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self { child, port };
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = server.child.try_wait().unwrap() {
                let said = std::fs::read_to_string(data.join("log")).unwrap();
                panic!("ElectrumX ended with {status}: {said}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        server
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }
}

impl Drop for ElectrumX {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
