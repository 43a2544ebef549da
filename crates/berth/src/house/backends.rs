//! The data platforms of the regions, as the settings name them. This build knows `local`, made to fail as `[dev]` says.

use std::path::Path;
use std::sync::Arc;

use domain::ports::Backends;
use providers::backends::{Faulty, Local, Rates};

use crate::config::Config;
use crate::data_folder::cannot;
use crate::failure::Failure;
use crate::ids::RandomIds;

/// In the data folder.
pub const FOLDER: &str = "backends";

/// Opens the backends of every region; those of `local` are in `folder`.
///
/// # Errors
/// A folder that cannot be made or written.
pub fn open(config: &Config, folder: &Path) -> Result<Arc<dyn Backends>, Failure> {
    let root = folder.join(FOLDER);
    faulty(config, Local::open(&root, regions(config), Arc::new(RandomIds)).map_err(|e| cannot("open the backends' folder", &root, &e))?)
}

/// For a process that calls none of them: it only knows which regions there are.
///
/// # Errors
/// A region that cannot be.
pub fn closed(config: &Config) -> Result<Arc<dyn Backends>, Failure> {
    let local = Local::closed(FOLDER, regions(config), Arc::new(RandomIds));
    faulty(config, local.map_err(|e| Failure::new(format!("`regions`: {e}")))?)
}

fn regions(config: &Config) -> impl Iterator<Item = String> {
    config.regions.iter().map(|r| r.name.clone())
}

fn faulty(config: &Config, local: Local) -> Result<Arc<dyn Backends>, Failure> {
    let dev = &config.dev;
    let rates = Rates { fail: dev.backend_fail_rate, hang: dev.backend_hang_rate, lose_reply: dev.backend_lose_reply_rate };
    let faulty = Faulty::new(local, rates, dev.seed).map_err(|e| Failure::new(format!("`dev`: {e}")))?;
    Ok(Arc::new(faulty))
}
