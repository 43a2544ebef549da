//! How `berth dev token` reaches a running `berth dev`: a Unix socket in the data folder, mode 0600 in a folder of 0700.
//!
//! One request and one answer a connection, each a line of JSON. Paths of sockets are short; the folder is therefore
//! named by a descriptor, however long its own path is.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::Issuer;
use domain::Berth;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::data_folder::{DataFolder, cannot};
use crate::failure::Failure;
use crate::grant::{self, Wanted};

const SOCKET: &str = "control.sock";
const LINE_MAX: u64 = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Serialize, Deserialize)]
enum Answer {
    Token(String),
    Refused(String),
}

/// The socket, taken away when dropped.
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A path to `name` in `folder` that is short whatever the folder's own is; valid while the file is open.
fn short(folder: &File, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))
}

impl Control {
    /// Listens in a folder that this process holds; a socket that a killed process left is replaced.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn listen(folder: &DataFolder) -> Result<Self, Failure> {
        let path = folder.path().join(SOCKET);
        let make = || {
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            let directory = File::open(folder.path())?;
            let listener = UnixListener::bind(short(&directory, SOCKET))?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        };
        let listener = make().map_err(|e| cannot("listen on", &path, &e))?;
        Ok(Self { listener, path })
    }

    /// Answers until `shutdown`.
    pub async fn serve(self, berth: Berth, issuer: std::sync::Arc<Issuer>, shutdown: CancellationToken) {
        loop {
            let stream = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "a connection to the control socket could not be accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            let (berth, issuer) = (berth.clone(), issuer.clone());
            tokio::spawn(async move {
                match tokio::time::timeout(PATIENCE, answer(stream, &berth, &issuer)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!(%error, "a connection to the control socket broke off"),
                    Err(_) => tracing::debug!("a connection to the control socket took too long"),
                }
            });
        }
    }
}

async fn answer(stream: UnixStream, berth: &Berth, issuer: &Issuer) -> std::io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reading.take(LINE_MAX)).read_line(&mut line).await?;
    let answer = match serde_json::from_str::<Wanted>(&line) {
        Err(e) => Answer::Refused(format!("the request is not understood: {e}. Use the same version of berth for both")),
        Ok(wanted) => match grant::token(berth, issuer, &wanted).await {
            Ok(token) => Answer::Token(token),
            Err(failure) => Answer::Refused(failure.to_string()),
        },
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    writing.write_all(&text).await
}

/// Asks the process that holds the folder. `None`: nobody listens there (yet).
///
/// # Errors
/// It refused, or broke off.
pub async fn ask(folder: &Path, wanted: &Wanted) -> Result<Option<String>, Failure> {
    let directory = File::open(folder).map_err(|e| cannot("open the data folder", folder, &e))?;
    let Ok(mut stream) = UnixStream::connect(short(&directory, SOCKET)).await else { return Ok(None) };
    let broke = |e: std::io::Error| Failure::new(format!("the running berth dev broke off: {e}. Try again"));
    let mut text = serde_json::to_vec(wanted).map_err(|e| Failure::new(e.to_string()))?;
    text.push(b'\n');
    stream.write_all(&text).await.map_err(broke)?;
    let mut line = String::new();
    let read = async { BufReader::new(stream).read_line(&mut line).await };
    match tokio::time::timeout(PATIENCE, read).await {
        Ok(read) => read.map_err(broke)?,
        Err(_) => return Err(Failure::new("the running berth dev does not answer. Look at its log")),
    };
    match serde_json::from_str(&line) {
        Ok(Answer::Token(token)) => Ok(Some(token)),
        Ok(Answer::Refused(why)) => Err(Failure::new(why)),
        Err(e) => Err(Failure::new(format!("the running berth dev answered something else: {e}"))),
    }
}
