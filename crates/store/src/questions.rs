//! What requests ask at every turn, and share statements for ([`Gathered`]): whether a caller is let in, a workspace by its id, alone or with
//! its run, a run at a glance, and the tuples that a check needs.

use domain::model::{RunDetail, Workspace};
use domain::permissions::{Revision, Wanted};
use domain::ports::{Admission, TokenStanding, WithRun};
use uuid::Uuid;

use crate::db::Error;
use crate::gathered::Gathered;
use crate::tuples::Subjects;

/// A row that cannot be read is a fault of whoever asks for it, not of all who share the statement.
pub(crate) type Read<T> = Result<T, Error>;

#[derive(Default)]
pub(crate) struct Questions {
    pub admissions: Gathered<Uuid, Read<Admission>>,
    pub disabled: Gathered<Uuid, Read<bool>>,
    pub standings: Gathered<Uuid, Read<TokenStanding>>,
    pub workspaces: Gathered<Uuid, Read<Workspace>>,
    pub with_runs: Gathered<Uuid, Read<WithRun>>,
    pub glances: Gathered<Uuid, Read<RunDetail>>,
    /// Lists of questions, each answered at one revision.
    pub subjects: Gathered<Vec<Wanted>, Subjects>,
    pub revisions: Gathered<(), Revision>,
}
