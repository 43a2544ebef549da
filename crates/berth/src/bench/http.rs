//! A client that costs as little as a load generator may, because it shares the machine with what it measures: one
//! connection kept alive, requests written as they were put together, answers read by their length or in chunks.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// More headers than Berth's answers have.
const HEADERS: usize = 64;

pub struct Client {
    stream: TcpStream,
    /// What has been read and not been used yet.
    read: Vec<u8>,
}

/// Of an answer, what was in its head.
struct Head {
    status: u16,
    /// Where the body begins.
    bytes: usize,
    /// `None`: the body comes in chunks.
    length: Option<usize>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::with_capacity(64 * 1024) })
    }

    /// Sends a request and reads the whole answer; `body` gets the body piece by piece. Returns the status.
    pub async fn ask(&mut self, request: &[u8], mut body: impl FnMut(&[u8])) -> Result<u16, Error> {
        self.stream.write_all(request).await?;
        let head = loop {
            if let Some(head) = head(&self.read)? {
                break head;
            }
            self.more().await?;
        };
        self.read.drain(..head.bytes);
        match head.length {
            Some(length) => self.take(length, &mut body).await?,
            None => self.chunks(&mut body).await?,
        }
        Ok(head.status)
    }

    async fn more(&mut self) -> Result<(), Error> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(Error::new(ErrorKind::UnexpectedEof, "the server closed the connection in the middle of an answer")),
            _ => Ok(()),
        }
    }

    async fn take(&mut self, mut length: usize, body: &mut impl FnMut(&[u8])) -> Result<(), Error> {
        while length > 0 {
            if self.read.is_empty() {
                self.more().await?;
            }
            let piece = length.min(self.read.len());
            body(&self.read[..piece]);
            self.read.drain(..piece);
            length -= piece;
        }
        Ok(())
    }

    async fn chunks(&mut self, body: &mut impl FnMut(&[u8])) -> Result<(), Error> {
        loop {
            let (line, size) = loop {
                match httparse::parse_chunk_size(&self.read).map_err(|_| broken("a chunk has no size"))? {
                    httparse::Status::Complete(found) => break found,
                    httparse::Status::Partial => self.more().await?,
                }
            };
            self.read.drain(..line);
            let size = usize::try_from(size).map_err(|_| broken("a chunk is too large"))?;
            self.take(size, body).await?;
            // After each chunk, and after the last one in place of trailers, there is an empty line.
            self.take(2, &mut |_| {}).await?;
            if size == 0 {
                return Ok(());
            }
        }
    }
}

fn broken(why: &str) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}

fn head(read: &[u8]) -> Result<Option<Head>, Error> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let bytes = match response.parse(read).map_err(|e| broken(&e.to_string()))? {
        httparse::Status::Partial => return Ok(None),
        httparse::Status::Complete(bytes) => bytes,
    };
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = match length {
        Some(header) => {
            Some(std::str::from_utf8(header.value).ok().and_then(|text| text.parse().ok()).ok_or_else(|| broken("a wrong length"))?)
        }
        None => None,
    };
    Ok(Some(Head { status: response.code.unwrap_or_default(), bytes, length }))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Answers each request with the next of `answers`, written in two pieces cut at every place in turn.
    async fn scripted(answers: Vec<Vec<u8>>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for answer in answers {
                let mut request = [0; 4];
                stream.read_exact(&mut request).await.unwrap();
                for piece in answer.chunks(7) {
                    stream.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn answers_with_a_length_and_in_chunks_are_read_one_after_the_other_on_one_connection() {
        let address = scripted(vec![
            b"HTTP/1.1 202 Accepted\r\ncontent-length: 5\r\n\r\nhello".to_vec(),
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\nA\r\n, two\n and\r\n0\r\n\r\n".to_vec(),
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
        ])
        .await;
        let mut client = Client::connect(address).await.unwrap();
        let mut bodies = Vec::new();
        for expected in [202, 200, 404] {
            let mut body = Vec::new();
            assert_eq!(client.ask(b"ask\n", |piece| body.extend_from_slice(piece)).await.unwrap(), expected);
            bodies.push(String::from_utf8(body).unwrap());
        }
        assert_eq!(bodies, ["hello", "one, two\n and", ""]);
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_an_error() {
        let address = scripted(vec![b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n".to_vec()]).await;
        let mut client = Client::connect(address).await.unwrap();
        assert!(client.ask(b"ask\n", |_| {}).await.is_err());
    }
}
