//! What queued while one transaction was under way shares the next one, so that a lone request waits for nobody, and many
//! share what a commit costs. No timer gathers anything.

use std::sync::{Mutex, PoisonError};

use saga::StoreError;
use tokio::sync::{mpsc, oneshot};

use crate::db::Db;

/// Members of one transaction at most: it must not hold its locks for long.
const LARGEST: usize = 64;

struct Queued<M, A> {
    member: M,
    answer: oneshot::Sender<A>,
}

/// Where requests of one kind hand in what they want done.
pub(crate) struct Together<M, A> {
    queue: Mutex<Option<mpsc::UnboundedSender<Queued<M, A>>>>,
}

impl<M, A> Default for Together<M, A> {
    fn default() -> Self {
        Self { queue: Mutex::default() }
    }
}

impl<M: Send + 'static, A: Send + 'static> Together<M, A> {
    /// The answer to this member, whoever shared the transaction. It is carried out even if nobody waits for it.
    ///
    /// # Errors
    /// The process is stopping: it is not known whether it was carried out.
    pub async fn done<F>(&self, db: &Db, member: M, carry_out: fn(Db, Vec<M>) -> F) -> Result<A, StoreError>
    where
        F: Future<Output = Vec<A>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.hand_in(db, Queued { member, answer }, carry_out);
        answered.await.map_err(|_| StoreError::Unknown("the process is stopping".to_owned()))
    }

    /// The task that carries out begins with the first member, and ends with the store.
    fn hand_in<F>(&self, db: &Db, queued: Queued<M, A>, carry_out: fn(Db, Vec<M>) -> F)
    where
        F: Future<Output = Vec<A>> + Send + 'static,
    {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let left = match &*queue {
            Some(open) => open.send(queued).err().map(|closed| closed.0),
            None => Some(queued),
        };
        if let Some(queued) = left {
            let (open, taken) = mpsc::unbounded_channel();
            tokio::spawn(carry_out_all(db.clone(), taken, carry_out));
            // The other end has only just been made.
            let _ = open.send(queued);
            *queue = Some(open);
        }
    }
}

async fn carry_out_all<M, A, F>(db: Db, mut queue: mpsc::UnboundedReceiver<Queued<M, A>>, carry_out: fn(Db, Vec<M>) -> F)
where
    F: Future<Output = Vec<A>>,
{
    let mut taken = Vec::new();
    while queue.recv_many(&mut taken, LARGEST).await > 0 {
        let (members, waiting): (Vec<_>, Vec<_>) = taken.drain(..).map(|q| (q.member, q.answer)).unzip();
        for (answer, waiting) in carry_out(db.clone(), members).await.into_iter().zip(waiting) {
            // Nobody waits where the client has gone.
            let _ = waiting.send(answer);
        }
    }
}
