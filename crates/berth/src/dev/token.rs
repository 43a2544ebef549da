//! `berth dev token`: the way to whoever holds the data folder.

use std::time::Duration;

use super::{control, folder};
use crate::config::Config;
use crate::data_folder::{DataFolder, Held};
use crate::failure::Failure;
use crate::grant::{self, Arguments, Wanted};
use crate::process::on_runtime;

/// How often, and how long, a process that starts or stops is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(10);

/// Prints a token: by the running `berth dev` if there is one, otherwise by opening the folder for a moment.
///
/// # Errors
/// There is no data folder; the role or its scope does not exist.
pub fn run(config: &Config, arguments: Arguments) -> Result<(), Failure> {
    let token = on_runtime(token(config, arguments.wanted()))?;
    crate::print(&format!("{token}\n"))
}

async fn token(config: &Config, wanted: Wanted) -> Result<String, Failure> {
    let dir = &config.data.dir;
    if !dir.is_dir() {
        return Err(Failure::new(format!(
            "there is no data folder {}: start `berth dev` first, or name its folder: --data-dir DIR",
            dir.display()
        )));
    }
    let reached = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(token) = control::ask(dir, &wanted).await? {
                return Ok(token);
            }
            if let Held::Ours(folder) = DataFolder::try_open(dir)? {
                return alone(config, &folder, &wanted).await;
            }
            // Somebody holds the folder and does not listen: it is starting or stopping.
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
    reached.await.unwrap_or_else(|_| {
        Err(Failure::new(format!("a process holds the data folder {} and does not answer. Look at its log", dir.display())))
    })
}

/// With no process at work on the folder, this one is.
async fn alone(config: &Config, data: &DataFolder, wanted: &Wanted) -> Result<String, Failure> {
    if !folder::has_database(data) {
        return Err(Failure::new(format!("{} holds no data of Berth yet: start `berth dev` first", data.path().display())));
    }
    let (house, issuer) = folder::open(config, data).await?;
    let token = grant::token(&house.berth, &issuer, wanted).await;
    house.store.db().close().await;
    token
}
