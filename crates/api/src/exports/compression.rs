//! Compresses a stream piece by piece: whatever was put in can be read on the other side at once.

use std::io;

use async_compression::tokio::write::{GzipEncoder, ZstdEncoder};
use tokio::io::AsyncWriteExt as _;

use super::Encoding;

/// How much is compressed before others get the thread.
const PIECE: usize = 64 * 1024;

pub enum Encoder {
    Identity,
    Gzip(Box<GzipEncoder<Vec<u8>>>),
    Zstd(Box<ZstdEncoder<Vec<u8>>>),
}

impl Encoder {
    pub fn new(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Identity => Self::Identity,
            Encoding::Gzip => Self::Gzip(Box::new(GzipEncoder::new(Vec::new()))),
            Encoding::Zstd => Self::Zstd(Box::new(ZstdEncoder::new(Vec::new()))),
        }
    }

    /// `bytes` as they go out. Nothing of them is held back for the next piece.
    pub async fn encode(&mut self, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity => Ok(bytes),
            _ if bytes.is_empty() => Ok(bytes),
            Self::Gzip(encoder) => {
                for piece in bytes.chunks(PIECE) {
                    encoder.write_all(piece).await?;
                    tokio::task::yield_now().await;
                }
                encoder.flush().await?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Zstd(encoder) => {
                for piece in bytes.chunks(PIECE) {
                    encoder.write_all(piece).await?;
                    tokio::task::yield_now().await;
                }
                encoder.flush().await?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }

    /// What ends the compressed stream.
    pub async fn finish(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity => Ok(Vec::new()),
            Self::Gzip(encoder) => {
                encoder.shutdown().await?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Zstd(encoder) => {
                encoder.shutdown().await?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use async_compression::tokio::write::{GzipDecoder, ZstdDecoder};

    use super::*;

    /// Catches an encoder that keeps a trickle to itself until there is enough of it.
    #[tokio::test]
    async fn each_piece_can_be_read_before_the_next_one_is_there() {
        let mut gzip = Encoder::new(Encoding::Gzip);
        let mut gunzip = GzipDecoder::new(Vec::new());
        let mut zstd = Encoder::new(Encoding::Zstd);
        let mut unzstd = ZstdDecoder::new(Vec::new());
        let mut whole = Vec::new();
        for piece in ["a", "a second one", "", "and a third"] {
            whole.extend_from_slice(piece.as_bytes());
            gunzip.write_all(&gzip.encode(piece.into()).await.unwrap()).await.unwrap();
            gunzip.flush().await.unwrap();
            assert_eq!(gunzip.get_ref(), &whole);
            unzstd.write_all(&zstd.encode(piece.into()).await.unwrap()).await.unwrap();
            unzstd.flush().await.unwrap();
            assert_eq!(unzstd.get_ref(), &whole);
        }
        gunzip.write_all(&gzip.finish().await.unwrap()).await.unwrap();
        gunzip.shutdown().await.unwrap();
        unzstd.write_all(&zstd.finish().await.unwrap()).await.unwrap();
        unzstd.shutdown().await.unwrap();
        assert_eq!((gunzip.get_ref(), unzstd.get_ref()), (&whole, &whole));
    }
}
