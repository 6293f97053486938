package ingest

import (
	"path"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
)

// A Location is what the name of an object says about it. Names that follow no vendor's layout say nothing but the folder.
type Location struct {
	Folder  string // up to the account, or the whole folder: the unit of lanes
	Account string // empty if unknown
	Format  string // token of the format, empty if unknown
	Time    int64  // of delivery, Unix seconds; 0 if unknown
	Skip    Reason // Digest, Insight, or empty
}

// Locate reads the layouts in which the vendors deliver:
//
//	AWSLogs/[o-…/]<account>/CloudTrail/<region>/<yyyy>/<mm>/<dd>/<account>_CloudTrail_<region>_<yyyymmddThhmm>Z_<random>.json.gz
//	AliyunLogs/Actiontrail/[<directory>/<account>/]<region>/<yyyy>/<mm>/<dd>/Actiontrail_<region>_<yyyymmddhhmmss>_….gz
//
// A file name of that form is enough, wherever it lies. CloudTrail-Digest, CloudTrail-Insight and Actiontrail-Insight
// stand in the place of CloudTrail and Actiontrail.
func Locate(name string) Location {
	dir, file := path.Split(name)
	folders := strings.Split(strings.Trim(dir, "/"), "/")
	l := Location{Folder: dir}
	l.locateFile(file)
	for i, f := range folders {
		kind, ok := kinds[f]
		if !ok || i == 0 {
			continue
		}
		switch {
		case kind.format == "cloudtrail" && accountID(folders[i-1]):
			l.Account = folders[i-1]
			l.Folder = prefix(name, dir, folders, i)
		case kind.format == "actiontrail" && folders[i-1] == "AliyunLogs":
			l.Folder = prefix(name, dir, folders, i+1)
			if i+2 < len(folders) && accountID(folders[i+2]) {
				l.Account = folders[i+2]
				l.Folder = prefix(name, dir, folders, i+3)
			}
		default:
			continue
		}
		l.Format, l.Skip = kind.format, kind.skip
		if l.Time == 0 {
			l.Time = day(folders[i+1:])
		}
	}
	return l
}

type kind struct {
	format string
	skip   Reason
}

// kinds are what the vendors deliver, by the word in folders and file names.
var kinds = map[string]kind{
	"CloudTrail":          {"cloudtrail", ""},
	"CloudTrail-Digest":   {"cloudtrail", Digest},
	"CloudTrail-Insight":  {"cloudtrail", Insight},
	"Actiontrail":         {"actiontrail", ""},
	"Actiontrail-Insight": {"actiontrail", Insight},
}

// locateFile reads the name of a file.
func (l *Location) locateFile(file string) {
	base, _, _ := strings.Cut(file, ".")
	parts := strings.Split(base, "_")
	if len(parts) >= 4 && accountID(parts[0]) {
		if k, ok := kinds[parts[1]]; ok && k.format == "cloudtrail" {
			l.Account, l.Format, l.Skip = parts[0], k.format, k.skip
			for _, p := range parts[3:] { // the digest of a trail names it before the time
				if t, err := time.Parse("20060102T1504Z", p); err == nil {
					l.Time = t.Unix()
				} else if t, err := time.Parse("20060102T150405Z", p); err == nil {
					l.Time = t.Unix()
				}
			}
			return
		}
	}
	if len(parts) >= 3 {
		if k, ok := kinds[parts[0]]; ok && k.format == "actiontrail" {
			l.Format, l.Skip = k.format, k.skip
			if t, err := time.Parse("20060102150405", parts[2]); err == nil {
				l.Time = t.Unix()
			}
		}
	}
}

// accountID reports whether s is the number of an account: 12 digits at AWS, 16 at Alibaba Cloud, which has shorter old ones.
func accountID(s string) bool {
	if len(s) < 10 || len(s) > 20 {
		return false
	}
	return strings.Trim(s, "0123456789") == ""
}

// prefix returns the name up to the first n folders, with a slash.
func prefix(name, dir string, folders []string, n int) string {
	size := strings.Index(name, folders[0]) // leading slashes
	for _, f := range folders[:n] {
		size += len(f) + 1
	}
	return dir[:size]
}

// day returns the first day that three folders in a row name.
func day(folders []string) int64 {
	for i := 0; i+2 < len(folders); i++ {
		if t, err := time.Parse("2006/01/02", strings.Join(folders[i:i+3], "/")); err == nil {
			return t.Unix()
		}
	}
	return 0
}

// Lane returns the lane of an object's folder, of so many. All objects below one account's folder are in one lane.
func Lane(connector, folder string, lanes int) int {
	h := xxhash.New()
	h.WriteString(connector)
	h.Write([]byte{0}) // so that connector and folder cannot run into each other
	h.WriteString(folder)
	return int(h.Sum64() % uint64(lanes))
}
