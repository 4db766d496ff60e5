use super::*;
use crate::seed::Seed;
use crate::vector::{from_f64, standard_normal};
use std::error::Error;

fn pairs(dim: usize, count: usize, dtype: DType) -> Vec<Eigenpair> {
    let mut rng = Seed::new(3).stream("file").rng();
    let pair = |index: usize| Eigenpair {
        value: -(index as f64 + 0.1).sqrt(),
        vector: from_f64(&standard_normal(dim, &mut rng), &Device::flex(), dtype),
        residual: 1e-300 / (index as f64 + 3.0),
    };
    (0..count).map(pair).collect()
}

fn bits(pair: &Eigenpair) -> (u64, u64, DType, Vec<u8>) {
    let data = pair.vector.to_data();
    let (value, residual) = (pair.value.to_bits(), pair.residual.to_bits());
    (value, residual, data.dtype(), data.as_bytes().to_vec())
}

fn problem(found: Result<SavedEigenpairs, CurvatureError>) -> FileProblem {
    match found {
        Err(CurvatureError::File { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_bit_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    for dtype in [DType::F32, DType::F64] {
        for (dim, count) in [(1, 1), (37, 5), (1000, 3)] {
            let path = folder.path().join("pairs.eigen");
            let mut written = pairs(dim, count, dtype);
            written[0].value = f64::from_bits(0x7ff8_0000_dead_beef);
            written[0].residual = -0.0;
            let saved = SavedEigenpairs::new("step 7, λ", &written).unwrap();
            saved.save(&path).unwrap();
            let loaded = SavedEigenpairs::load(&path, &Device::flex()).unwrap();
            assert_eq!((loaded.label(), loaded.dim()), ("step 7, λ", dim));
            let found: Vec<_> = loaded.pairs().iter().map(bits).collect();
            assert_eq!(found, written.iter().map(bits).collect::<Vec<_>>());
            loaded.check_dim(dim).unwrap();
            let error = loaded.check_dim(dim + 1).unwrap_err();
            let CurvatureError::Dimension {
                expected, found, ..
            } = error
            else {
                panic!("{error}")
            };
            assert_eq!((expected, found), (dim + 1, dim));
        }
    }
    // only the file itself is left in the folder
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn values_that_no_number_compares_with_come_back_in_vectors_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("special");
    let numbers = [f32::NAN, f32::INFINITY, -0.0, f32::MIN_POSITIVE / 8.0];
    let data = TensorData::new(numbers.to_vec(), [4]);
    let vector = Tensor::from_data(data, (&Device::flex(), DType::F32));
    let pair = Eigenpair {
        value: f64::NEG_INFINITY,
        vector,
        residual: f64::NAN,
    };
    let saved = SavedEigenpairs::new("", std::slice::from_ref(&pair)).unwrap();
    saved.save(&path).unwrap();
    let loaded = SavedEigenpairs::load(&path, &Device::flex()).unwrap();
    assert_eq!(bits(&loaded.pairs()[0]), bits(&pair));
}

#[test]
fn no_pairs_are_saved_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none");
    SavedEigenpairs::new("none", &[])
        .unwrap()
        .save(&path)
        .unwrap();
    let loaded = SavedEigenpairs::load(&path, &Device::flex()).unwrap();
    assert!(loaded.pairs().is_empty());
    loaded.check_dim(12).unwrap();
}

#[test]
fn pairs_that_do_not_belong_together_are_refused() {
    let mut mixed = pairs(5, 2, DType::F64);
    mixed.extend(pairs(6, 1, DType::F64));
    let error = SavedEigenpairs::new("", &mixed).unwrap_err();
    assert!(matches!(error, CurvatureError::Dimension { found: 6, .. }));
    let mut mixed = pairs(5, 2, DType::F64);
    mixed.extend(pairs(5, 1, DType::F32));
    let error = SavedEigenpairs::new("", &mixed).unwrap_err();
    assert!(matches!(error, CurvatureError::Argument { value: 2.0, .. }));
}

#[test]
fn what_is_wrong_with_a_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pairs");
    let load = || SavedEigenpairs::load(&path, &Device::flex());
    assert!(matches!(problem(load()), FileProblem::Missing));
    let message = load().unwrap_err().to_string();
    assert!(message.contains("pairs") && message.contains("no such file"));

    let saved = SavedEigenpairs::new("cut", &pairs(9, 2, DType::F32)).unwrap();
    saved.save(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        match problem(load()) {
            FileProblem::Foreign => assert!(cut < MAGIC.len(), "{cut}"),
            FileProblem::Length { found, expected } => {
                assert!(found == cut as u64 && expected <= whole.len() as u64);
            }
            other => panic!("{cut}: {other}"),
        }
    }
    fs::write(&path, [whole.as_slice(), b"!"].concat()).unwrap();
    assert!(matches!(problem(load()), FileProblem::Length { .. }));

    // any one byte that is changed is noticed
    for index in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[index] ^= 0x10;
        fs::write(&path, bytes).unwrap();
        let found = problem(load());
        match index {
            0..8 => assert!(matches!(found, FileProblem::Foreign)),
            8..12 => assert!(matches!(found, FileProblem::Version { expected: 1, .. })),
            _ => assert!(
                matches!(
                    found,
                    FileProblem::Length { .. } | FileProblem::Damaged { .. }
                ),
                "{index}: {found}"
            ),
        }
    }
    fs::write(&path, "step,loss\n1,0.5\n").unwrap();
    assert!(matches!(problem(load()), FileProblem::Foreign));
    let error = saved
        .save(folder.path().join("no/such/folder"))
        .unwrap_err();
    assert!(error.source().is_some() || error.to_string().contains("folder"));
    assert!(saved.save("/").is_err());
}

#[test]
fn an_interruption_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pairs");
    let old = SavedEigenpairs::new("old", &pairs(50, 2, DType::F64)).unwrap();
    old.save(&path).unwrap();
    let label = || {
        let loaded = SavedEigenpairs::load(&path, &Device::flex()).unwrap();
        loaded.label().to_string()
    };
    let new = SavedEigenpairs::new("new", &pairs(50, 3, DType::F64)).unwrap();

    // the disk is full half way
    let failed = write_whole(&path, |file| {
        let mut bytes = Vec::new();
        new.write(&mut bytes)?;
        file.write_all(&bytes[..bytes.len() / 2])?;
        Err(io::Error::from(io::ErrorKind::StorageFull).into())
    });
    assert!(matches!(failed, Err(FileProblem::System(_))));
    assert_eq!(label(), "old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    // killed before the renaming: the part that was written stays, and disturbs nobody
    let mut bytes = Vec::new();
    new.write(&mut bytes).unwrap();
    fs::write(beside(&path).unwrap(), &bytes[..100]).unwrap();
    assert_eq!(label(), "old");
    new.save(&path).unwrap();
    assert_eq!(label(), "new");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}
