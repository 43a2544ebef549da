//! Where an export goes: a file that appears whole, or a stream that was there before.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::cli::exit::Exit;
use crate::cli::stop::Stop;
use crate::cli::table::printable;

/// Dropped before it is finished, it leaves nothing.
pub enum Target {
    /// Written beside its place, and renamed when it is whole.
    File { part: Part, place: PathBuf },
    /// Standard output, a pipe or a device.
    Stream(Box<dyn io::Write>),
}

/// A file that is removed unless it is kept.
pub struct Part {
    path: PathBuf,
    file: File,
    is_kept: bool,
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Target {
    /// # Errors
    /// Nothing can be written there; told before anything is asked of the server.
    pub fn open(place: &Path) -> Result<Self, Stop> {
        if place == Path::new("-") {
            return Ok(Self::Stream(Box::new(io::stdout())));
        }
        let cannot = |e: io::Error| cannot(place, &e);
        match std::fs::metadata(place) {
            Ok(there) if there.is_dir() => {
                return Err(Stop::usage(format!("{} is a folder", place.display()), "Name a file: --output FILE."));
            }
            // A pipe or a device is not replaced by a file.
            Ok(there) if !there.is_file() => {
                return Ok(Self::Stream(Box::new(OpenOptions::new().write(true).open(place).map_err(cannot)?)));
            }
            _ => {}
        }
        // What a link points to is replaced, not the link.
        let place = place.canonicalize().unwrap_or_else(|_| place.to_owned());
        let name = place.file_name().ok_or_else(|| Stop::usage("the file has no name", "Name a file: --output FILE."))?;
        let path = place.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), Uuid::now_v7().simple()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(cannot)?;
        Ok(Self::File { part: Part { path, file, is_kept: false }, place })
    }

    /// # Errors
    /// The disk is full, or the reader has gone.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        match self {
            Self::File { part, place } => part.file.write_all(bytes).map_err(|e| cannot(place, &e)),
            Self::Stream(stream) => stream.write_all(bytes).map_err(|e| match e.kind() {
                io::ErrorKind::BrokenPipe => Stop::ReaderGone,
                _ => cannot(Path::new("-"), &e),
            }),
        }
    }

    /// Puts the whole file into its place, where a crash finds the old one or the new one.
    ///
    /// # Errors
    /// The disk is full, or the folder cannot be written any more.
    pub fn finish(&mut self) -> Result<(), Stop> {
        match self {
            Self::File { part, place } => {
                let keep = |part: &mut Part, place: &Path| {
                    part.file.sync_all()?;
                    std::fs::rename(&part.path, place)?;
                    part.is_kept = true;
                    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                    File::open(folder)?.sync_all()
                };
                keep(part, place).map_err(|e| cannot(place, &e))
            }
            Self::Stream(stream) => stream.flush().map_err(|e| cannot(Path::new("-"), &e)),
        }
    }

    /// What becomes of what was written when it turns out to be of no use, for a sentence.
    pub fn fate(&self) -> &'static str {
        match self {
            Self::File { .. } => ", and is not kept",
            Self::Stream(_) => ": use nothing of what was written",
        }
    }

    /// Where it went, for a sentence.
    pub fn shown(&self) -> String {
        match self {
            Self::File { place, .. } => format!(" to {}", printable(&place.display().to_string())),
            Self::Stream(_) => String::new(),
        }
    }
}

fn cannot(place: &Path, e: &io::Error) -> Stop {
    let advice = match e.kind() {
        io::ErrorKind::NotFound => "Make the folder first, or name another file: --output FILE.",
        io::ErrorKind::PermissionDenied => "Name a file in a folder that you may write to: --output FILE.",
        _ => "Nothing is left behind. Make room, or name another file: --output FILE.",
    };
    Stop::new(Exit::Failed, format!("cannot write {}: {e}", place.display()), advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a.csv");
        std::fs::write(&place, "old").unwrap();
        let mut target = Target::open(&place).unwrap();
        target.write(b"half").unwrap();
        assert_eq!(files(folder.path()).len(), 2);
        drop(target);
        assert_eq!((files(folder.path()), std::fs::read_to_string(&place).unwrap()), (vec!["a.csv".to_owned()], "old".to_owned()));

        let mut target = Target::open(&place).unwrap();
        target.write(b"whole").unwrap();
        target.finish().unwrap();
        drop(target);
        assert_eq!((files(folder.path()), std::fs::read_to_string(&place).unwrap()), (vec!["a.csv".to_owned()], "whole".to_owned()));
    }

    #[test]
    fn a_link_stays_and_a_device_is_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (place, link) = (folder.path().join("a.csv"), folder.path().join("link.csv"));
        std::fs::write(&place, "old").unwrap();
        std::os::unix::fs::symlink(&place, &link).unwrap();
        let mut target = Target::open(&link).unwrap();
        target.write(b"new").unwrap();
        target.finish().unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "new");
        assert!(matches!(Target::open(Path::new("/dev/null")).unwrap(), Target::Stream(_)));
        assert!(Target::open(folder.path()).is_err());
    }
}
