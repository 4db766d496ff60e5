//! Eigenpairs in files: written whole or not at all, read back bit by bit.

use crate::eigen::pairs::Eigenpair;
use crate::error::CurvatureError;
use burn::prelude::{Device, Tensor};
use burn::tensor::{DType, TensorData};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;

/// First bytes of a file of eigenpairs.
const MAGIC: [u8; 8] = *b"RAVEIGEN";
/// Version of the format that is written, and the only one that is read.
const VERSION: u32 = 1;
/// Bytes in front of the header: magic, version, length of the header.
const PREFIX: u64 = 8 + 4 + 8;
/// Bytes of the checksum at the end.
const SUFFIX: u64 = 8;

/// What is wrong with a file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileProblem {
    /// There is none.
    #[error("there is no such file")]
    Missing,
    /// The system could not read or write it.
    #[error(transparent)]
    System(io::Error),
    /// It was not written by `save`.
    #[error("it is no file of eigenpairs")]
    Foreign,
    /// It has another version of the format.
    #[error(
        "it has version {found} of the format, but this build reads version {expected}: compute it again, or read it with the build that wrote it"
    )]
    Version {
        /// The file's version.
        found: u32,
        /// The version that is read.
        expected: u32,
    },
    /// It has another length than its header says.
    #[error("it has {found} bytes, but its header says {expected}: it was cut off or appended to")]
    Length {
        /// Length of the file.
        found: u64,
        /// Length by its header.
        expected: u64,
    },
    /// Its bytes are not those that were written.
    #[error("it is damaged: its {part} cannot be right")]
    Damaged {
        /// Which part.
        part: &'static str,
    },
    /// It holds eigenpairs, but not the state of a tracker.
    #[error("it holds eigenpairs, but no tracker: read it with `SavedEigenpairs::load`")]
    NoTracker,
}

impl From<io::Error> for FileProblem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ => Self::System(error),
        }
    }
}

impl FileProblem {
    /// The error that names the file.
    pub(crate) fn at(self, path: &Path) -> CurvatureError {
        CurvatureError::File {
            path: path.to_path_buf(),
            problem: self,
        }
    }
}

/// Eigenpairs that can be saved and loaded, with a label.
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use faer::Mat;
/// use ravine_curvature::{DenseSymmetric, LanczosOptions, Seed, lanczos_top_k};
/// use ravine_curvature::eigen::SavedEigenpairs;
///
/// let matrix = Mat::from_fn(20, 20, |i, j| if i == j { i as f64 } else { 0.0 });
/// let operator = DenseSymmetric::from_matrix(matrix).operator(&Device::flex(), DType::F64);
/// let options = LanczosOptions { pairs: 2, ..Default::default() };
/// let top = lanczos_top_k(&operator, &options, Seed::new(0))?;
///
/// let path = std::env::temp_dir().join(format!("ravine-example-{}.eigen", std::process::id()));
/// SavedEigenpairs::new("after epoch 3", &top.pairs)?.save(&path)?;
/// let saved = SavedEigenpairs::load(&path, &Device::flex())?;
/// saved.check_dim(20)?;
/// assert_eq!(saved.label(), "after epoch 3");
/// assert_eq!(saved.pairs()[0].value.to_bits(), top.pairs[0].value.to_bits());
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
///
/// # Format
///
/// Magic `RAVEIGEN`, version (u32), length of the header (u64), header in CBOR (label, dimension, number of pairs, dtype), values and
/// residuals (f64), vectors one after the other in their dtype, FNV-1a checksum (u64) of all before it; numbers little-endian.
#[derive(Clone, Debug)]
pub struct SavedEigenpairs {
    label: String,
    dim: usize,
    dtype: Stored,
    pairs: Vec<Eigenpair>,
    attachment: Vec<u8>,
}

/// The dtypes of vectors in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stored {
    F32,
    F64,
}

impl Stored {
    fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    label: String,
    dim: u64,
    count: u64,
    dtype: Stored,
    attachment: u64,
}

impl Header {
    /// Bytes behind the header, checksum included; `None` beyond 2⁶⁴.
    fn body(&self) -> Option<u64> {
        let vector = self.dim.checked_mul(self.dtype.bytes())?;
        let pair = vector.checked_add(16)?;
        let pairs = self.count.checked_mul(pair)?;
        pairs.checked_add(self.attachment)?.checked_add(SUFFIX)
    }
}

impl SavedEigenpairs {
    /// Takes pairs, whose vectors must agree in length and dtype; the tensors are shared, not copied.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for vectors of different lengths, [`CurvatureError::Argument`] for different dtypes, or others
    /// than f32 and f64: convert them with `cast`.
    pub fn new(label: impl Into<String>, pairs: &[Eigenpair]) -> Result<Self, CurvatureError> {
        let first = pairs.first().map(|pair| &pair.vector);
        let dim = first.map_or(0, |vector| vector.dims()[0]);
        let dtype = first.map_or(DType::F64, Tensor::dtype);
        for (index, pair) in pairs.iter().enumerate() {
            let found = pair.vector.dims()[0];
            if found != dim {
                return Err(CurvatureError::Dimension {
                    what: "an eigenvector to be saved",
                    expected: dim,
                    found,
                });
            }
            if pair.vector.dtype() != dtype {
                return Err(refused(index, "its dtype is not that of the first"));
            }
        }
        let dtype = match dtype {
            DType::F32 => Stored::F32,
            DType::F64 => Stored::F64,
            _ => return Err(refused(0, "its dtype is neither f32 nor f64")),
        };
        Ok(Self {
            label: label.into(),
            dim,
            dtype,
            pairs: pairs.to_vec(),
            attachment: Vec::new(),
        })
    }

    /// Bytes of another part of the crate that go with the pairs.
    pub(crate) fn with_attachment(self, attachment: Vec<u8>) -> Self {
        Self { attachment, ..self }
    }

    pub(crate) fn attachment(&self) -> &[u8] {
        &self.attachment
    }

    /// The label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Length of the vectors; 0 without pairs.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The pairs, in the order in which they were given.
    pub fn pairs(&self) -> &[Eigenpair] {
        &self.pairs
    }

    /// The vectors, for a warm start.
    pub fn vectors(&self) -> Vec<Tensor<1>> {
        self.pairs.iter().map(|pair| pair.vector.clone()).collect()
    }

    /// Refuses pairs of another dimension than an operator's.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`].
    pub fn check_dim(&self, expected: usize) -> Result<(), CurvatureError> {
        match self.dim == expected || self.pairs.is_empty() {
            true => Ok(()),
            false => Err(CurvatureError::Dimension {
                what: "a saved eigenvector",
                expected,
                found: self.dim,
            }),
        }
    }

    /// Writes the file whole or not at all: to a temporary file beside it, synced and renamed, so that an interruption leaves what was there.
    ///
    /// # Cost
    ///
    /// One vector of memory.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::File`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), CurvatureError> {
        let path = path.as_ref();
        write_whole(path, |file| self.write(file)).map_err(|problem| problem.at(path))
    }

    fn write(&self, file: &mut dyn Write) -> Result<(), FileProblem> {
        let header = Header {
            label: self.label.clone(),
            dim: self.dim as u64,
            count: self.pairs.len() as u64,
            dtype: self.dtype,
            attachment: self.attachment.len() as u64,
        };
        let mut encoded = Vec::new();
        ciborium::into_writer(&header, &mut encoded)
            .map_err(|_| FileProblem::Damaged { part: "header" })?;
        let mut file = Summed::new(file);
        file.write(&MAGIC)?;
        file.write(&VERSION.to_le_bytes())?;
        file.write(&(encoded.len() as u64).to_le_bytes())?;
        file.write(&encoded)?;
        file.write(&self.attachment)?;
        for pair in &self.pairs {
            file.write(&pair.value.to_le_bytes())?;
            file.write(&pair.residual.to_le_bytes())?;
        }
        for pair in &self.pairs {
            file.write(&encode(pair.vector.to_data(), self.dtype)?)?;
        }
        let sum = file.sum;
        Ok(file.inner.write_all(&sum.to_le_bytes())?)
    }

    /// Reads a file onto a device. Check the dimension with [`check_dim`](Self::check_dim).
    ///
    /// # Errors
    ///
    /// [`CurvatureError::File`] for a file that is missing, cut off, damaged, of another version or of something else.
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self, CurvatureError> {
        let path = path.as_ref();
        Self::read(path, device).map_err(|problem| problem.at(path))
    }

    fn read(path: &Path, device: &Device) -> Result<Self, FileProblem> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut file = Summed::new(BufReader::new(file));
        let mut magic = [0; MAGIC.len()];
        if length < MAGIC.len() as u64 || file.read(&mut magic).is_err() || magic != MAGIC {
            return Err(FileProblem::Foreign);
        }
        let short = |expected: u64| match length < expected {
            true => Err(FileProblem::Length {
                found: length,
                expected,
            }),
            false => Ok(()),
        };
        short(PREFIX)?;
        let version = u32::from_le_bytes(file.array()?);
        if version != VERSION {
            return Err(FileProblem::Version {
                found: version,
                expected: VERSION,
            });
        }
        let encoded = u64::from_le_bytes(file.array()?);
        let front = PREFIX.saturating_add(encoded);
        short(front)?;
        let encoded = file.bytes(encoded)?;
        let header: Header = ciborium::from_reader(encoded.as_slice())
            .map_err(|_| FileProblem::Damaged { part: "header" })?;
        let body = header.body().unwrap_or(u64::MAX);
        let expected = front.saturating_add(body);
        // before anything of the stated size is allocated
        if length != expected {
            return Err(FileProblem::Length {
                found: length,
                expected,
            });
        }
        let attachment = file.bytes(header.attachment)?;
        let mut numbers = Vec::new();
        for _ in 0..header.count {
            let value = f64::from_le_bytes(file.array()?);
            numbers.push((value, f64::from_le_bytes(file.array()?)));
        }
        let mut pairs = Vec::with_capacity(numbers.len());
        for (value, residual) in numbers {
            let bytes = file.bytes(header.dim * header.dtype.bytes())?;
            let vector = decode(&bytes, header.dtype, device);
            pairs.push(Eigenpair {
                value,
                vector,
                residual,
            });
        }
        let sum = file.sum;
        if u64::from_le_bytes(file.array()?) != sum {
            return Err(FileProblem::Damaged { part: "checksum" });
        }
        Ok(Self {
            label: header.label,
            dim: header.dim as usize,
            dtype: header.dtype,
            pairs,
            attachment,
        })
    }
}

fn refused(index: usize, requirement: &'static str) -> CurvatureError {
    CurvatureError::Argument {
        name: "the number of an eigenvector to be saved",
        value: index as f64,
        requirement,
    }
}

fn encode(data: TensorData, dtype: Stored) -> Result<Vec<u8>, FileProblem> {
    let damaged = |_| FileProblem::Damaged { part: "vectors" };
    Ok(match dtype {
        Stored::F32 => {
            let numbers: Vec<f32> = data.try_into_vec().map_err(damaged)?;
            numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
        }
        Stored::F64 => {
            let numbers: Vec<f64> = data.try_into_vec().map_err(damaged)?;
            numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
        }
    })
}

fn decode(bytes: &[u8], dtype: Stored, device: &Device) -> Tensor<1> {
    match dtype {
        Stored::F32 => {
            let (chunks, _) = bytes.as_chunks::<4>();
            let numbers: Vec<f32> = chunks.iter().map(|x| f32::from_le_bytes(*x)).collect();
            let shape = [numbers.len()];
            Tensor::from_data(TensorData::new(numbers, shape), (device, DType::F32))
        }
        Stored::F64 => {
            let (chunks, _) = bytes.as_chunks::<8>();
            let numbers: Vec<f64> = chunks.iter().map(|x| f64::from_le_bytes(*x)).collect();
            let shape = [numbers.len()];
            Tensor::from_data(TensorData::new(numbers, shape), (device, DType::F64))
        }
    }
}

/// A reader or writer that sums up (FNV-1a) what passes.
struct Summed<F> {
    inner: F,
    sum: u64,
}

impl<F> Summed<F> {
    fn new(inner: F) -> Self {
        let sum = 0xcbf2_9ce4_8422_2325;
        Self { inner, sum }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.sum = bytes.iter().fold(self.sum, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    }
}

impl<W: Write> Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.add(bytes);
        self.inner.write_all(bytes)
    }
}

impl<R: Read> Summed<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.read_exact(bytes)?;
        self.add(bytes);
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    /// So many bytes, known to be there.
    fn bytes(&mut self, count: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count as usize];
        self.read(&mut bytes)?;
        Ok(bytes)
    }
}

/// Writes beside the file, syncs and renames; a failure leaves the old file and no other.
fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), FileProblem>,
) -> Result<(), FileProblem> {
    let beside = beside(path)?;
    let written = write_new(&beside, write).and_then(|()| Ok(fs::rename(&beside, path)?));
    if written.is_err() {
        // the first error is the one to tell
        let _ = fs::remove_file(&beside);
        return written;
    }
    // makes the new name last where folders can be synced; the contents are safe already
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
        let _ = folder.sync_all();
    }
    Ok(())
}

fn write_new(
    beside: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), FileProblem>,
) -> Result<(), FileProblem> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(beside)?;
    let mut buffered = BufWriter::new(file);
    write(&mut buffered)?;
    let file = buffered
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    Ok(file.sync_all()?)
}

/// A name in the same folder that no other writer takes.
fn beside(path: &Path) -> Result<PathBuf, FileProblem> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let Some(name) = path.file_name() else {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "the path names no file");
        return Err(FileProblem::System(error));
    };
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    // a process killed earlier may have had the same number
    let nanoseconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos());
    let mut partial = name.to_os_string();
    partial.push(format!(".{process}-{number}-{nanoseconds}.partial"));
    Ok(path.with_file_name(partial))
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
