use sandbox_protocol::mount::Prefix;
use sandbox_protocol::query;

use super::*;

fn parse(text: &str) -> Result<Query, S3Error> {
    Query::parse(|name| query::value(text, name).map_err(|_| S3Error::InvalidRequest("")))
}

fn scope() -> Scope {
    Scope::new(Prefix::parse("p/q").unwrap().as_ref())
}

#[test]
fn both_versions_are_read() {
    let query = parse("delimiter=%2F&max-keys=50&prefix=a%20b%2F&marker=a%20b%2Fc").unwrap();
    assert_eq!(
        query,
        Query {
            is_v2: false,
            prefix: "a b/".into(),
            delimiter: Some("/".into()),
            after: Some("a b/c".into()),
            limit: 50,
            encodes: false,
        }
    );
    let query = parse("list-type=2&start-after=x&marker=y&encoding-type=url&max-keys=5000").unwrap();
    assert_eq!(
        (query.after.as_deref(), query.limit, query.encodes),
        (Some("x"), 1000, true)
    );
    let query = parse("list-type=2&start-after=x&continuation-token=z").unwrap();
    assert_eq!(query.after.as_deref(), Some("z"));
    assert!(parse("max-keys=x").is_err());
}

#[test]
fn another_store_is_asked_within_the_prefix_only() {
    let query = parse("delimiter=/&prefix=a/&marker=a/b/").unwrap();
    assert_eq!(
        query.parameters(&scope()),
        [
            ("delimiter", "/".to_owned()),
            ("marker", "p/q/a/b/\u{10FFFF}".to_owned()),
            ("max-keys", "1000".to_owned()),
            ("prefix", "p/q/a/".to_owned()),
        ]
    );
    let query = parse("list-type=2&start-after=b&prefix=..%2F").unwrap();
    let parameters = query.parameters(&scope());
    assert!(parameters.is_sorted());
    assert!(parameters.contains(&("prefix", "p/q/../".to_owned())));
    assert!(parameters.contains(&("start-after", "p/q/b".to_owned())));
}

#[test]
fn pages_read_back_without_the_prefix() {
    let of_store = "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"x\"><Name>b</Name><Prefix>p/q/</Prefix>\
        <IsTruncated>true</IsTruncated><NextMarker>p/q/d/</NextMarker>\
        <Contents><Key>p/q/</Key><Size>0</Size></Contents>\
        <Contents><Key>p/q/a&amp;b</Key><LastModified>T</LastModified><ETag>&#34;e&#34;</ETag><Size>5</Size>\
        <Owner><ID>secret-id</ID></Owner></Contents><Contents><Key>other/key</Key></Contents>\
        <CommonPrefixes><Prefix>p/q/d/</Prefix></CommonPrefixes><CommonPrefixes><Prefix>z/</Prefix></CommonPrefixes>\
        </ListBucketResult>";
    let page = Page::read(of_store, &scope());
    let entry = Entry {
        key: "a&b".into(),
        modified: "T".into(),
        etag: "\"e\"".into(),
        size: "5".into(),
    };
    assert_eq!(
        page,
        Page {
            entries: vec![entry],
            prefixes: vec!["d/".into()],
            is_truncated: true
        }
    );
    assert_eq!(page.last(), Some("d/"));
    let answer = parse("delimiter=/").unwrap().answer(&page);
    assert_eq!(
        answer,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>mounted-bucket</Name><Prefix></Prefix>\
         <Delimiter>/</Delimiter><MaxKeys>1000</MaxKeys><Marker></Marker><IsTruncated>true</IsTruncated>\
         <NextMarker>d/</NextMarker><Contents><Key>a&amp;b</Key><LastModified>T</LastModified>\
         <ETag>&quot;e&quot;</ETag><Size>5</Size><StorageClass>STANDARD</StorageClass></Contents>\
         <CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes></ListBucketResult>"
    );
    assert_eq!(Page::read(&answer, &Scope::new(None)), page);
    let v2 = parse("list-type=2&encoding-type=url").unwrap().answer(&page);
    assert!(v2.contains("<KeyCount>2</KeyCount>") && v2.contains("<Key>a%26b</Key>"));
    assert!(v2.contains("<NextContinuationToken>d/</NextContinuationToken>"));
}

#[test]
fn an_empty_page() {
    let page = Page::read("<ListBucketResult/>", &scope());
    assert_eq!((page.last(), page.is_truncated), (None, false));
    let answer = parse("").unwrap().answer(&page);
    assert!(answer.contains("<IsTruncated>false</IsTruncated>") && !answer.contains("Next"));
}
