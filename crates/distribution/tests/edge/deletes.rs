//! Deleting (distribution-spec, "Content Management"; end-9, end-10). What is deleted is gone with the answer.

use crate::content::{image, index, sha256, unknown};
use crate::house::{House, Person};

const APP: &str = "mona/app";

async fn mona() -> (House, Person) {
    let house = House::new().await;
    let mona = house.user("mona").await;
    (house, mona)
}

fn manifest(reference: &str) -> String {
    format!("/v2/{APP}/manifests/{reference}")
}

#[tokio::test]
async fn a_tag_that_is_deleted_leaves_its_manifest_and_the_other_tags() {
    let (_house, mona) = mona().await;
    let image = image().layer("one").manifest();
    mona.push(APP, "1.0", &image).await;
    mona.push(APP, "latest", &image).await;

    assert_eq!(mona.delete(&manifest("latest")).await.says(), "202");

    assert_eq!(mona.get(&manifest("latest")).await.says(), "404 MANIFEST_UNKNOWN");
    assert_eq!(mona.head(&manifest("latest")).await.status, 404);
    assert_eq!(mona.tags(APP).await, ["1.0"]);
    assert!(mona.has(APP, "1.0").await && mona.has(APP, &image.digest()).await);
    assert_eq!(mona.delete(&manifest("latest")).await.says(), "404 MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn a_manifest_that_is_deleted_takes_all_its_tags_with_it() {
    let (_house, mona) = mona().await;
    let (gone, kept) = (image().layer("gone").manifest(), image().layer("kept").manifest());
    mona.push(APP, "a", &gone).await;
    mona.push(APP, "b", &gone).await;
    mona.push(APP, "c", &kept).await;

    assert_eq!(mona.delete(&manifest(&gone.digest())).await.says(), "202");

    for reference in ["a", "b", &gone.digest()] {
        assert_eq!(mona.get(&manifest(reference)).await.says(), "404 MANIFEST_UNKNOWN");
    }
    assert_eq!(mona.tags(APP).await, ["c"]);
    assert_eq!(mona.delete(&manifest(&gone.digest())).await.says(), "404 MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn what_was_deleted_can_be_pushed_again() {
    let (_house, mona) = mona().await;
    let image = image().layer("one").manifest();
    for _ in 0..2 {
        mona.push(APP, "1.0", &image).await;
        assert_eq!(mona.delete(&manifest(&image.digest())).await.says(), "202");
        assert_eq!(mona.delete(&format!("/v2/{APP}/blobs/{}", sha256("one"))).await.says(), "202");
        assert_eq!(mona.put_manifest(APP, "1.0", &image).await.says(), "400 MANIFEST_BLOB_UNKNOWN");
    }
    mona.push(APP, "1.0", &image).await;
    assert_eq!(mona.get(&manifest("1.0")).await.body, image.bytes);
    assert_eq!(mona.blob(APP, &sha256("one")).await.unwrap(), b"one");
}

#[tokio::test]
async fn what_is_not_there_cannot_be_deleted() {
    let (_house, mona) = mona().await;
    mona.push(APP, "1.0", &index(&[])).await;
    assert_eq!(mona.delete(&manifest("nope")).await.says(), "404 MANIFEST_UNKNOWN");
    assert_eq!(mona.delete(&manifest(&unknown())).await.says(), "404 MANIFEST_UNKNOWN");
    assert_eq!(mona.delete(&format!("/v2/{APP}/blobs/{}", unknown())).await.says(), "404 BLOB_UNKNOWN");
}

/// CVE-2026-35172 (distribution): a blob that was deleted in one repository came back after a read in another.
#[tokio::test]
async fn cve_2026_35172_a_blob_deleted_here_does_not_come_back_by_a_read_there() {
    let (house, mona) = mona().await;
    let digest = mona.push_blob(APP, "shared").await;
    mona.push_blob("mona/other", "shared").await;
    let (here, there) = (format!("/v2/{APP}/blobs/{digest}"), format!("/v2/mona/other/blobs/{digest}"));
    assert_eq!(mona.get(&here).await.status, 200);

    assert_eq!(mona.delete(&here).await.says(), "202");

    for _ in 0..2 {
        assert_eq!(mona.get(&there).await.text(), "shared");
        assert_eq!(mona.head(&there).await.status, 200);
        assert_eq!(mona.get(&here).await.says(), "404 BLOB_UNKNOWN");
        assert_eq!(mona.head(&here).await.status, 404);
        house.sweep().await;
    }
    assert_eq!(mona.delete(&here).await.says(), "404 BLOB_UNKNOWN");
}

/// CVE-2026-41888 (distribution): the door for tags missed the check that the door for digests made.
#[tokio::test]
async fn cve_2026_41888_each_way_to_delete_asks_for_the_same_right() {
    let (house, mona) = mona().await;
    let image = image().layer("one").manifest();
    mona.push(APP, "1.0", &image).await;
    let (writer, reader) = (house.user("writer").await, house.user("reader").await);
    house.grant(APP, "writer", "write").await;
    house.grant(APP, "reader", "read").await;
    let no_delete = house.token("mona", &["read:packages", "write:packages"]).await;
    let only_delete = house.token("mona", &["delete:packages"]).await;
    let narrow = mona.bearer(&["repository:mona/app:pull,push"]).await;
    let before = house.stored();
    let session = mona.begin(APP).await;
    let doors = [manifest("1.0"), manifest(&image.digest()), format!("/v2/{APP}/blobs/{}", sha256("one"))];
    for door in &doors {
        for caller in [&writer.caller, &reader, &no_delete, &only_delete] {
            assert_eq!(caller.delete(door).await.says(), "403 DENIED", "{door}");
        }
        assert_eq!(narrow.delete(door).await.says(), "401 UNAUTHORIZED", "{door}");
    }
    // To cancel an upload takes no right to delete: it is one's own, and nobody has seen it.
    assert_eq!(reader.delete(&session).await.says(), "403 DENIED");
    assert_eq!(no_delete.delete(&session).await.says(), "204");
    house.sweep().await;
    crate::stored::assert_same(&before, &house.stored(), "none of them deleted anything");
    for door in &doors {
        assert_eq!(mona.delete(door).await.says(), "202", "{door}");
    }
}

#[tokio::test]
async fn a_layer_that_is_deleted_leaves_its_manifest_which_says_so() {
    let (_house, mona) = mona().await;
    let image = image().layer("one").manifest();
    mona.push(APP, "1.0", &image).await;
    assert_eq!(mona.delete(&format!("/v2/{APP}/blobs/{}", sha256("one"))).await.says(), "202");
    assert_eq!(mona.get(&manifest("1.0")).await.body, image.bytes);
    assert_eq!(mona.blob(APP, &sha256("one")).await, None);
    assert_eq!(mona.put_manifest(APP, "2.0", &image).await.says(), "400 MANIFEST_BLOB_UNKNOWN");
}

/// angos's change log: a deleted tag stayed in the listing.
#[tokio::test]
async fn angos_the_last_tag_that_is_deleted_leaves_the_listing() {
    let (_house, mona) = mona().await;
    mona.push(APP, "only", &index(&[])).await;
    mona.delete(&manifest("only")).await;
    assert_eq!(mona.tags(APP).await, Vec::<String>::new());
    assert_eq!(mona.get("/v2/_catalog").await.list("repositories"), [APP], "its manifest is still there");
    mona.delete(&manifest(&index(&[]).digest())).await;
    assert_eq!(mona.get(&format!("/v2/{APP}/tags/list")).await.says(), "404 NAME_UNKNOWN");
    assert_eq!(mona.get("/v2/_catalog").await.list("repositories"), Vec::<String>::new());
}

/// angos's change log: a tag pushed to a digest while that digest is deleted.
#[tokio::test]
async fn angos_a_tag_pushed_while_its_manifest_is_deleted_never_dangles() {
    let (_house, mona) = mona().await;
    let image = image().layer("one").manifest();
    for _ in 0..20 {
        mona.push(APP, "1.0", &image).await;
        let put =
            mona.put(&manifest("2.0")).header("content-type", &image.media_type).body(image.bytes.clone());
        let (put, delete) =
            tokio::join!(put.into_future(), mona.delete(&manifest(&image.digest())).into_future());
        assert_eq!((put.says().as_str(), delete.says().as_str()), ("201", "202"));
        let tags = mona.get(&format!("/v2/{APP}/tags/list")).await;
        let tags = if tags.status == 200 { tags.list("tags") } else { Vec::new() };
        // One was first: either both tags went with the manifest, or the new one brought it back.
        assert!(tags.is_empty() || tags == ["2.0"], "{tags:?}");
        assert_eq!(mona.has(APP, &image.digest()).await, !tags.is_empty());
        assert_eq!(mona.has(APP, "2.0").await, !tags.is_empty());
    }
}
