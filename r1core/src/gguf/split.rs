//! Models split in several files, named `model-00001-of-00003.gguf`.

use super::{Metadata, TensorInfo};
use crate::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

const NO: &str = "split.no";
const COUNT: &str = "split.count";
const TENSORS: &str = "split.tensors.count";

/// Which part of how many a file is, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) no: u32,
    pub(super) count: u32,
}

/// What the metadata of one file says about it; `None` when it is a whole model.
pub(super) fn place(metadata: &Metadata) -> Result<Option<Place>> {
    let Some(count) = metadata.u32(COUNT)? else { return Ok(None) };
    let no = metadata.u32(NO)?;
    match (no, count) {
        (_, 0) => Err(metadata.malformed(COUNT, "a model of 0 parts")),
        (None | Some(0), 1) => Ok(None),
        (None, _) => Err(Error::new(ErrorKind::Missing, "required key of a split model is absent").key(NO)),
        (Some(no), _) if no >= count => Err(metadata.malformed(NO, format!("part {no}, counted from 0, of {count}"))),
        (Some(_), 100_000..) => Err(metadata.malformed(COUNT, format!("{count} parts; names allow 99999"))),
        (Some(no), _) => Ok(Some(Place { no, count })),
    }
}

/// The files of a split model in order, from the path of any of them.
///
/// # Errors
/// [`ErrorKind::Malformed`] when the name does not follow the pattern or contradicts the metadata.
pub(super) fn siblings(path: &Path, place: Place) -> Result<Vec<PathBuf>> {
    let Some((stem, named)) = path.file_name().and_then(|name| name.to_str()).and_then(parse_name) else {
        let message =
            format!("this is part {} of {} of a split model, but its name does not say so", place.no + 1, place.count);
        let remedy = format!("name the parts NAME-{:05}-of-{:05}.gguf", place.no + 1, place.count);
        return Err(Error::new(ErrorKind::Malformed, message).remedy(remedy));
    };
    if named != place {
        let message = format!(
            "by its metadata this is part {} of {}, by its name part {} of {}",
            place.no + 1,
            place.count,
            u64::from(named.no) + 1,
            named.count
        );
        return Err(Error::new(ErrorKind::Malformed, message).remedy("give the parts their original names"));
    }
    Ok((1..=place.count).map(|no| path.with_file_name(format!("{stem}-{no:05}-of-{:05}.gguf", place.count))).collect())
}

/// Splits `model-00001-of-00003.gguf` into `model` and its place.
fn parse_name(name: &str) -> Option<(&str, Place)> {
    let rest = name.strip_suffix(".gguf")?;
    let (rest, count) = rest.rsplit_once("-of-")?;
    let (stem, no) = rest.rsplit_once('-')?;
    let number = |digits: &str| match digits.len() == 5 && digits.bytes().all(|b| b.is_ascii_digit()) {
        true => digits.parse::<u32>().ok(),
        false => None,
    };
    Some((stem, Place { no: number(no)?.checked_sub(1)?, count: number(count)? }))
}

/// Checks that a sibling is the part that its name promises.
pub(super) fn check_sibling(metadata: &Metadata, expected: Place) -> Result<()> {
    match place(metadata)? {
        Some(found) if found == expected => Ok(()),
        Some(found) => Err(metadata.malformed(
            NO,
            format!(
                "part {} of {} expected, found part {} of {}",
                expected.no + 1,
                expected.count,
                found.no + 1,
                found.count
            ),
        )),
        None => Err(metadata
            .malformed(COUNT, format!("part {} of {} expected, found a whole model", expected.no + 1, expected.count))),
    }
}

/// Checks that all parts together have as many tensors as the first one promises.
pub(super) fn check_total(first: &Metadata, tensors: &[TensorInfo]) -> Result<()> {
    match first.u64(TENSORS)? {
        Some(promised) if promised != tensors.len() as u64 => {
            Err(first.malformed(TENSORS, format!("{promised} tensors promised, the parts have {}", tensors.len())))
        }
        _ => Ok(()),
    }
}

/// Turns "no such file" into what it means for a split model.
pub(super) fn missing_part(error: Error, path: &Path, place: Place, no: u32) -> Error {
    let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<std::io::Error>());
    if source.is_none_or(|source| source.kind() != std::io::ErrorKind::NotFound) {
        return error;
    }
    let message = format!("part {} of {} of a split model is missing", no + 1, place.count);
    Error::new(ErrorKind::Missing, message).file(path).remedy("put all parts into one directory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parts_are_recognised() {
        assert_eq!(parse_name("r1-00002-of-00015.gguf"), Some(("r1", Place { no: 1, count: 15 })));
        assert_eq!(parse_name("a-of-b-00001-of-00001.gguf"), Some(("a-of-b", Place { no: 0, count: 1 })));
        for other in [
            "r1.gguf",
            "r1-1-of-2.gguf",
            "r1-00000-of-00002.gguf",
            "r1-00001-of-00002",
            "-of-.gguf",
            "r1-0000é-of-00002.gguf",
        ] {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }

    #[test]
    fn siblings_lie_beside_the_part() {
        let files = siblings(Path::new("dir/m-00002-of-00002.gguf"), Place { no: 1, count: 2 }).unwrap();
        assert_eq!(files, [Path::new("dir/m-00001-of-00002.gguf"), Path::new("dir/m-00002-of-00002.gguf")]);
    }
}
