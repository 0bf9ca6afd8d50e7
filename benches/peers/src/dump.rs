//! Logits on disk: `u32 positions, u32 vocabulary`, then `f32` rows, all little-endian.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::Result;

/// Writes rows; the number of positions is filled in by [`Writer::finish`].
#[derive(Debug)]
pub struct Writer {
    file: BufWriter<File>,
    vocabulary: usize,
    positions: u32,
    bytes: Vec<u8>,
}

impl Writer {
    /// A new file for rows of `vocabulary` logits.
    pub fn create(path: &Path, vocabulary: usize) -> Result<Self> {
        let file = File::create(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&0u32.to_le_bytes())?;
        file.write_all(&u32::try_from(vocabulary)?.to_le_bytes())?;
        Ok(Self { file, vocabulary, positions: 0, bytes: Vec::new() })
    }

    /// Appends the logits of one position.
    pub fn row(&mut self, logits: &[f32]) -> Result<()> {
        assert_eq!(logits.len(), self.vocabulary, "a row has one logit for each token");
        self.bytes.clear();
        self.bytes.extend(logits.iter().flat_map(|x| x.to_le_bytes()));
        self.file.write_all(&self.bytes)?;
        self.positions += 1;
        Ok(())
    }

    /// Writes the count and closes the file.
    pub fn finish(mut self) -> Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&self.positions.to_le_bytes())?;
        Ok(self.file.flush()?)
    }
}

/// Reads rows in order.
#[derive(Debug)]
pub struct Reader {
    file: BufReader<File>,
    vocabulary: usize,
    positions: usize,
    bytes: Vec<u8>,
}

impl Reader {
    /// Opens a file that [`Writer`] wrote.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let length = file.metadata()?.len();
        let mut file = BufReader::with_capacity(1 << 20, file);
        let mut word = || -> Result<usize> {
            let mut bytes = [0; 4];
            file.read_exact(&mut bytes)?;
            Ok(u32::from_le_bytes(bytes) as usize)
        };
        let (positions, vocabulary) = (word()?, word()?);
        if length != 8 + 4 * (positions as u64) * (vocabulary as u64) {
            return Err(format!("{}: {length} bytes are not {positions} x {vocabulary} logits", path.display()).into());
        }
        Ok(Self { file, vocabulary, positions, bytes: vec![0; 4 * vocabulary] })
    }

    /// Logits in a row.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// Rows in the file.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Replaces `logits` with the next row.
    pub fn row(&mut self, logits: &mut Vec<f32>) -> Result<()> {
        self.file.read_exact(&mut self.bytes)?;
        logits.clear();
        logits.extend(self.bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were_written_and_a_cut_file_is_refused() {
        let path = std::env::temp_dir().join(format!("r1-peers-dump-{}", std::process::id()));
        let mut writer = Writer::create(&path, 3).unwrap();
        writer.row(&[1.0, -2.5, f32::MIN_POSITIVE]).unwrap();
        writer.row(&[0.0, -0.0, 3.0e38]).unwrap();
        writer.finish().unwrap();
        let mut reader = Reader::open(&path).unwrap();
        assert_eq!((reader.positions(), reader.vocabulary()), (2, 3));
        let mut row = Vec::new();
        reader.row(&mut row).unwrap();
        assert_eq!(row, [1.0, -2.5, f32::MIN_POSITIVE]);
        reader.row(&mut row).unwrap();
        assert_eq!(row, [0.0, -0.0, 3.0e38]);
        File::options().write(true).open(&path).unwrap().set_len(20).unwrap();
        assert!(Reader::open(&path).is_err());
        std::fs::remove_file(&path).unwrap();
    }
}
