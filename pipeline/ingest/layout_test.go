package ingest

import (
	"fmt"
	"testing"
	"time"
)

// The layouts of S3 and OSS delivery, with organization paths and multi-account trails.
func TestLocate(t *testing.T) {
	const s3 = "111122223333_CloudTrail_eu-west-1_20240502T0815Z_AbCdEfGh12345678.json.gz"
	at := func(s string) int64 {
		u, err := time.Parse("2006-01-02T15:04:05", s)
		if err != nil {
			t.Fatal(err)
		}
		return u.Unix()
	}
	for _, tt := range []struct {
		name string
		want Location
	}{
		{"/b/AWSLogs/111122223333/CloudTrail/eu-west-1/2024/05/02/" + s3,
			Location{"/b/AWSLogs/111122223333/", "111122223333", "cloudtrail", at("2024-05-02T08:15:00"), ""}},
		{"AWSLogs/o-abcdefghij/444455556666/CloudTrail/us-east-1/2024/05/02/renamed.json",
			Location{"AWSLogs/o-abcdefghij/444455556666/", "444455556666", "cloudtrail", at("2024-05-02T00:00:00"), ""}},
		{s3, Location{"", "111122223333", "cloudtrail", at("2024-05-02T08:15:00"), ""}},
		{"/logs/" + s3, Location{"/logs/", "111122223333", "cloudtrail", at("2024-05-02T08:15:00"), ""}},
		{"AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/2024/05/02/111122223333_CloudTrail-Digest_eu-west-1_trail_eu-west-1_" +
			"20240502T081500Z.json.gz",
			Location{"AWSLogs/111122223333/", "111122223333", "cloudtrail", at("2024-05-02T08:15:00"), Digest}},
		{"AWSLogs/111122223333/CloudTrail-Insight/eu-west-1/2024/05/02/x.json.gz",
			Location{"AWSLogs/111122223333/", "111122223333", "cloudtrail", at("2024-05-02T00:00:00"), Insight}},
		{"111122223333_CloudTrail-Insight_eu-west-1_20240502T0815Z_x.json.gz",
			Location{"", "111122223333", "cloudtrail", at("2024-05-02T08:15:00"), Insight}},
		{"/b/AliyunLogs/Actiontrail/cn-hangzhou/2024/05/02/Actiontrail_cn-hangzhou_20240502081501_1002_12_3456_0123abcd.gz",
			Location{"/b/AliyunLogs/Actiontrail/", "", "actiontrail", at("2024-05-02T08:15:01"), ""}},
		{"AliyunLogs/Actiontrail/rd-3gxxxx/1234567890123456/cn-hangzhou/2024/05/02/Actiontrail_cn-hangzhou_20240502081501_1002_1_2_3.gz",
			Location{"AliyunLogs/Actiontrail/rd-3gxxxx/1234567890123456/", "1234567890123456", "actiontrail",
				at("2024-05-02T08:15:01"), ""}},
		{"AliyunLogs/Actiontrail-Insight/cn-hangzhou/2024/05/02/x.gz",
			Location{"AliyunLogs/Actiontrail-Insight/", "", "actiontrail", at("2024-05-02T00:00:00"), Insight}},
		{"/home/x/CloudTrail/records.json", Location{Folder: "/home/x/CloudTrail/"}},
		{"CloudTrail/1.json", Location{Folder: "CloudTrail/"}},
		{"", Location{}},
		{"////", Location{Folder: "////"}},
		{"/AliyunLogs/Actiontrail", Location{Folder: "/AliyunLogs/"}},
		{"111122223333_CloudTrail_eu-west-1_2024", Location{"", "111122223333", "cloudtrail", 0, ""}},
	} {
		if got := Locate(tt.name); got != tt.want {
			t.Errorf("Locate(%q)\n got %+v\nwant %+v", tt.name, got, tt.want)
		}
	}
}

func FuzzLocate(f *testing.F) {
	f.Add("AliyunLogs/Actiontrail/rd/1234567890123456/r/2024/05/02/Actiontrail_r_20240502081501_1.gz")
	f.Add("//AWSLogs//111122223333/CloudTrail/")
	f.Fuzz(func(t *testing.T, name string) {
		l := Locate(name)
		if len(l.Folder) > len(name) || name[:len(l.Folder)] != l.Folder {
			t.Errorf("%q: folder %q", name, l.Folder)
		}
	})
}

// Lanes are fixed for ever: another lane would read an account's objects again, elsewhere.
func TestLaneIsStable(t *testing.T) {
	var got []int
	for i := range 8 {
		got = append(got, Lane("files", fmt.Sprintf("/logs/AWSLogs/11112222333%d/", i), 8))
	}
	if want := "[4 5 0 3 4 1 1 7]"; fmt.Sprint(got) != want {
		t.Errorf("lanes %v, want %v", got, want)
	}
	if Lane("files", "x", 1) != 0 {
		t.Error("one lane is lane 0")
	}
}
