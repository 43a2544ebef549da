//! What the suite lets anybody see, gathered so that it can be searched for secrets: everything that is logged in the tests'
//! processes and in those that they start, and the problems that are answered.
//!
//! `BERTH_TEST_OUTPUT` names the folder, which `scripts/test.sh` searches at the end; without it nothing is gathered.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

fn folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "tests are told by their environment where to put this")]
    FOLDER.get_or_init(|| std::env::var_os("BERTH_TEST_OUTPUT").filter(|named| !named.is_empty()).map(PathBuf::from)).as_deref()
}

/// Gathers what this process logs from now on, whatever its level.
///
/// # Panics
/// If the folder cannot be written.
pub fn gather() {
    static ONCE: OnceLock<()> = OnceLock::new();
    let Some(folder) = folder() else { return };
    ONCE.get_or_init(|| {
        let path = folder.join(format!("log-{}", std::process::id()));
        let file = OpenOptions::new().create(true).append(true).open(path).expect("the folder for the tests' output can be written");
        let lines = tracing_subscriber::fmt().with_env_filter(EnvFilter::new("trace")).with_ansi(false).with_writer(file);
        // A test that has set up a log of its own looks at it itself.
        let _kept = lines.try_init();
    });
}

/// Adds `bytes` to what is gathered of this `kind`.
///
/// # Panics
/// If the folder cannot be written.
pub fn keep(kind: &str, bytes: &[u8]) {
    let Some(folder) = folder() else { return };
    let path = folder.join(format!("{kind}-{}", std::process::id()));
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("the folder for the tests' output can be written");
    file.write_all(&[bytes, b"\n"].concat()).expect("the tests' output can be written");
}
