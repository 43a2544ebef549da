//! The file-system side of the `local` backend: each function is one step whose order the callers rely on.
//!
//! What is built or removed has a name with a leading dot, in the folder of its region, so that it moves by one rename.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::database::{self, write_file};
use super::{Existing, Mark, login};

const MARK: &str = "mark";
const NEW: &str = ".new-";
const GONE: &str = ".gone-";

/// Where one backend workspace is or will be, and the names that one call uses on its way there.
pub struct Place {
    region: PathBuf,
    name: PathBuf,
    id: Uuid,
    /// This call's own: two creates at once do not build in one folder.
    new: PathBuf,
    /// The same for all calls: a drop removes what an earlier one could not.
    gone: PathBuf,
}

/// What stands at the name.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    Nothing,
    /// A file: no folder can be renamed onto it.
    Seal,
    Folder(Mark),
}

impl Place {
    /// `call` is different for each call of each process, and begins with the process's name.
    pub fn new(root: &Path, region: &str, id: Uuid, call: &str) -> Self {
        let region = root.join(region);
        Self {
            name: region.join(id.to_string()),
            new: region.join(format!("{NEW}{call}-{id}")),
            gone: region.join(format!("{GONE}{id}")),
            id,
            region,
        }
    }

    pub fn name(&self) -> &Path {
        &self.name
    }

    pub fn standing(&self) -> io::Result<Standing> {
        loop {
            match fs::symlink_metadata(&self.name) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Standing::Nothing),
                Err(e) => return Err(e),
                Ok(found) if !found.is_dir() => return Ok(Standing::Seal),
                Ok(_) => {}
            }
            match read_mark(&self.name) {
                Ok(mark) => return Ok(Standing::Folder(mark)),
                // A drop took the folder away between the two looks: look again. A folder without a mark is not ours.
                Err(e) if is_away(&e) && !self.name.is_dir() => {}
                Err(e) if is_away(&e) => return Err(foreign(&self.name)),
                Err(e) => return Err(e),
            }
        }
    }

    /// Builds the whole folder beside its name, durably. On failure nothing of it is left.
    pub fn build(&self, mark: &Mark, key: &[u8; 32]) -> io::Result<()> {
        let built = self.build_there(mark, key);
        if built.is_err() {
            // The error that matters is the first one; what is left is swept at the next start.
            let _ = remove(&self.new);
        }
        built
    }

    fn build_there(&self, mark: &Mark, key: &[u8; 32]) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o700).create(&self.new)?;
        database::write(&self.new, self.id, key)?;
        write_file(&self.new.join(MARK), &serde_json::to_vec(mark)?)?;
        sync_folder(&self.new)
    }

    /// Puts what was built at its name; false, and nothing is left of it, if something stands there.
    pub fn put(&self) -> io::Result<bool> {
        // A folder replaces an empty folder only, and none that stands at a name is ever empty.
        match fs::rename(&self.new, &self.name) {
            Ok(()) => Ok(true),
            Err(e) => {
                remove(&self.new)?;
                if stands(&e) { Ok(false) } else { Err(e) }
            }
        }
    }

    /// Moves the folder off its name, to where [`Self::empty_trash`] finds it. Leaves it where another call has taken one
    /// away meanwhile: look again.
    pub fn take_away(&self) -> io::Result<()> {
        match fs::rename(&self.name, &self.gone) {
            Err(e) if e.kind() == io::ErrorKind::NotFound || stands(&e) => Ok(()),
            done => done,
        }
    }

    pub fn empty_trash(&self) -> io::Result<()> {
        remove(&self.gone)
    }

    /// Puts a file at the name, in which people may read why; false if something stands there.
    pub fn seal(&self, mark: &Mark) -> io::Result<bool> {
        match write_file(&self.name, format!("sealed by the undo of {}\n", mark.key).as_bytes()) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// What stands at the name is there after a power cut as well.
    pub fn make_durable(&self) -> io::Result<()> {
        sync_folder(&self.region)
    }
}

/// A rename was refused because of what stands at its target.
fn stands(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists)
}

pub fn is_away(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn foreign(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{} is not a backend workspace that Berth made", path.display()))
}

fn read_mark(folder: &Path) -> io::Result<Mark> {
    serde_json::from_slice(&fs::read(folder.join(MARK))?).map_err(|_| foreign(folder))
}

pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes a file or a whole folder, if there is one; two calls may do so at once.
fn remove(path: &Path) -> io::Result<()> {
    loop {
        let removed = match fs::symlink_metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
            Ok(found) if found.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
        };
        // Gone meanwhile, or filled anew by a drop that moved another one here: look again.
        if let Err(e) = removed
            && !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty)
        {
            return Err(e);
        }
    }
}

pub fn make_region(root: &Path, region: &str) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).recursive(true).create(root.join(region))?;
    sync_folder(root)
}

/// Entries of a folder that is one of ours to list, in no order.
pub fn entries(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|e| (e.file_name().to_string_lossy().into_owned(), e.path()))).collect()
}

/// The regions' folders; what else there is has a leading dot.
fn regions(root: &Path) -> io::Result<impl Iterator<Item = (String, PathBuf)>> {
    Ok(entries(root)?.into_iter().filter(|(name, path)| !name.starts_with('.') && path.is_dir()))
}

/// Takes away what dead processes left on its way to a name, and what anyone left on its way from one.
pub fn sweep(root: &Path, is_alive: impl Fn(&str) -> bool) -> io::Result<()> {
    for (_, region) in regions(root)? {
        for (name, path) in entries(&region)? {
            let builder = name.strip_prefix(NEW).map(|rest| rest.split('-').next().unwrap_or_default());
            if name.starts_with(GONE) || builder.is_some_and(|process| !is_alive(process)) {
                remove(&path)?;
            }
        }
    }
    Ok(())
}

pub fn inventory(root: &Path) -> io::Result<Vec<Existing>> {
    let mut found = Vec::new();
    for (region, folder) in regions(root)? {
        for (name, path) in entries(&folder)? {
            if name.starts_with(NEW) || name.starts_with(GONE) || !path.is_dir() {
                continue;
            }
            let id = name.parse().map_err(|_| foreign(&path))?;
            found.push(Existing { region: region.clone(), id, mark: read_mark(&path)?, login: login::read(&path)? });
        }
    }
    found.sort();
    Ok(found)
}
