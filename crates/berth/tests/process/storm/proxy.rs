//! Stands between processes and the database, and cuts connections at COMMIT: the commit reaches the server or does not, and either
//! way who asked for it is not told.
//!
//! It knows as much of the protocol as that takes: a message is a type and a length, the server says after each answer whether the
//! connection is inside a transaction, and a statement that is not inside one commits itself.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_util::task::AbortOnDropHandle;

pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
    _accepting: AbortOnDropHandle<()>,
}

struct State {
    socket: PathBuf,
    dice: Mutex<StdRng>,
    /// Cuts in a thousand commits, and in a thousand statements that commit themselves.
    rates: [AtomicU32; 2],
    /// Commits that went through and were not told of; those that did not go through; the same of statements that commit themselves.
    cut: [AtomicU32; 4],
}

/// What is done with a commit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passes,
    /// The server carries it out, and its answer is dropped.
    Untold,
    /// It never arrives.
    Dropped,
}

impl Proxy {
    /// Before a server on a Unix socket.
    pub async fn start(socket: PathBuf, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let dice = Mutex::new(StdRng::seed_from_u64(seed));
        let state = Arc::new(State { socket, dice, rates: Default::default(), cut: Default::default() });
        let accepting = tokio::spawn({
            let state = state.clone();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    client.set_nodelay(true).unwrap();
                    tokio::spawn(pass(client, state.clone()));
                }
            }
        });
        Self { port, state, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// So many of a thousand commits, and of a thousand statements that commit themselves.
    pub fn cut_per_thousand(&self, rates: [u32; 2]) {
        self.state.rates.iter().zip(rates).for_each(|(known, rate)| known.store(rate, Ordering::Relaxed));
    }

    /// Commits that went through and were not told of, those that did not go through, and the same of statements that commit
    /// themselves.
    pub fn cut(&self) -> [u32; 4] {
        [0, 1, 2, 3].map(|at| self.state.cut[at].load(Ordering::Relaxed))
    }
}

impl State {
    fn fate(&self, alone: bool) -> Fate {
        let mut dice = self.dice.lock().unwrap();
        if dice.random_range(0..1000) >= self.rates[usize::from(alone)].load(Ordering::Relaxed) {
            return Fate::Passes;
        }
        let dropped = dice.random_bool(0.3);
        self.cut[usize::from(alone) * 2 + usize::from(dropped)].fetch_add(1, Ordering::Relaxed);
        if dropped { Fate::Dropped } else { Fate::Untold }
    }
}

/// A message with its type and length, as it came.
async fn message(from: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut whole = vec![0; 5];
    from.read_exact(&mut whole).await.ok()?;
    let length = u32::from_be_bytes(whole[1..5].try_into().unwrap()) as usize;
    whole.resize(length + 1, 0);
    from.read_exact(&mut whole[5..]).await.ok()?;
    Some(whole)
}

/// One connection, until either side ends it or it is cut.
async fn pass(mut client: TcpStream, state: Arc<State>) {
    let Ok(mut server) = UnixStream::connect(&state.socket).await else { return };
    // The first message has no type.
    let mut length = [0; 4];
    if client.read_exact(&mut length).await.is_err() {
        return;
    }
    let mut rest = vec![0; u32::from_be_bytes(length) as usize - 4];
    if client.read_exact(&mut rest).await.is_err() || server.write_all(&[&length[..], &rest].concat()).await.is_err() {
        return;
    }
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.split(), server.split());
    let (status, cutting) = (AtomicU8::new(b'I'), AtomicBool::new(false));
    let asks = async {
        // Whether a statement was sent since the last answer was asked for.
        let mut executes = false;
        while let Some(message) = message(&mut from_client).await {
            let idle = status.load(Ordering::SeqCst) == b'I';
            let (commits, alone) = match message[0] {
                b'Q' => (message[5..].eq_ignore_ascii_case(b"commit\0"), false),
                b'S' => (idle && std::mem::take(&mut executes), true),
                b'E' => {
                    executes = true;
                    (false, false)
                }
                _ => (false, false),
            };
            match if commits { state.fate(alone) } else { Fate::Passes } {
                Fate::Passes => {}
                Fate::Untold => cutting.store(true, Ordering::SeqCst),
                Fate::Dropped => return,
            }
            if to_server.write_all(&message).await.is_err() {
                return;
            }
        }
    };
    let answers = async {
        while let Some(message) = message(&mut from_server).await {
            let is_over = message[0] == b'Z';
            if cutting.load(Ordering::SeqCst) {
                if is_over {
                    return;
                }
                continue;
            }
            if is_over {
                status.store(message[5], Ordering::SeqCst);
            }
            if to_client.write_all(&message).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = asks => {}
        () = answers => {}
    }
}
