package simulate

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// cloudTrail writes records of AWS CloudTrail, as they lie in S3.
type cloudTrail struct{ account string }

func (cloudTrail) container() (open, between, end string) { return `{"Records":[`, `,`, `]}` }

func (f cloudTrail) object(region string, slot time.Time, _ int, _ []byte, r *rand.Rand) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	var id [16]byte
	for i := range id {
		id[i] = letters[r.IntN(len(letters))]
	}
	return fmt.Sprintf("AWSLogs/%s/CloudTrail/%s/%s/%s_CloudTrail_%s_%s_%s.json.gz",
		f.account, region, slot.Format("2006/01/02"), f.account, region, slot.Format("20060102T1504Z"), id[:])
}

func (f cloudTrail) record(b []byte, c *call) []byte {
	b = append(b, `{"eventVersion":"1.11","userIdentity":`...)
	b = expand(b, c.by.identity, c)
	b = append(b, `,"eventTime":"`...)
	b = time.Unix(c.at, 0).UTC().AppendFormat(b, time.RFC3339)
	b = append(b, `","eventSource":"`...)
	b = append(b, c.api.service...)
	b = append(b, `","eventName":"`...)
	b = append(b, c.api.name...)
	b = append(b, `","awsRegion":"`...)
	b = append(b, c.region...)
	b = append(b, `","sourceIPAddress":"`...)
	b = append(b, c.from...)
	b = append(b, `","userAgent":"`...)
	b = append(b, c.agent...)
	if c.fail != nil {
		b = append(b, `","errorCode":"`...)
		b = append(b, c.fail.code...)
		b = append(b, `","errorMessage":"`...)
		b = expand(b, c.fail.message, c)
	}
	b = append(b, `","requestParameters":`...)
	b = expand(b, orNull(c.api.params), c)
	b = append(b, `,"responseElements":`...)
	if c.fail != nil {
		b = append(b, "null"...)
	} else {
		b = expand(b, orNull(c.api.response), c)
	}
	if c.api.extra != "" {
		b = append(b, `,"additionalEventData":`...)
		b = expand(b, c.api.extra, c)
	}
	b = append(b, `,"requestID":"`...)
	b = appendUUID(b, c.request)
	b = append(b, `","eventID":"`...)
	b = appendUUID(b, c.id)
	b = append(b, `","readOnly":`...)
	if c.api.write {
		b = append(b, "false"...)
	} else {
		b = append(b, "true"...)
	}
	kind := "AwsApiCall"
	if c.api.name == "ConsoleLogin" {
		kind = "AwsConsoleSignIn"
	}
	b = append(b, `,"eventType":"`...)
	b = append(b, kind...)
	b = append(b, `","managementEvent":true,"recipientAccountId":"`...)
	b = append(b, f.account...)
	b = append(b, `","eventCategory":"Management"`...)
	if !c.by.invoked {
		name, _, _ := strings.Cut(c.api.service, ".")
		b = append(b, `,"tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"`...)
		b = append(b, name+"."+c.region+".amazonaws.com"...)
		b = append(b, `"}`...)
	}
	return append(b, '}')
}

// actionTrail writes records of Alibaba Cloud ActionTrail, as they lie in OSS.
type actionTrail struct{ account string }

func (actionTrail) container() (open, between, end string) { return `[`, `,`, `]` }

func (actionTrail) object(region string, slot time.Time, records int, packed []byte, _ *rand.Rand) string {
	sum := md5.Sum(packed) // the vendor's names end with it
	return fmt.Sprintf("AliyunLogs/Actiontrail/%s/%s/Actiontrail_%s_%s_1002_%d_%d_%x.gz",
		region, slot.Format("2006/01/02"), region, slot.Format("20060102150405"), records, len(packed), sum)
}

func (f actionTrail) record(b []byte, c *call) []byte {
	host := strings.ToLower(c.api.service) + "." + c.region + ".aliyuncs.com"
	b = append(b, `{"eventId":"`...)
	b = appendUUID(b, c.id)
	b = append(b, `","eventVersion":1,"eventSource":"`...)
	b = append(b, host...)
	b = append(b, `","sourceIpAddress":"`...)
	b = append(b, c.from...)
	b = append(b, `","userAgent":"`...)
	b = append(b, c.agent...)
	b = append(b, `","eventRW":"`...)
	if c.api.write {
		b = append(b, "Write"...)
	} else {
		b = append(b, "Read"...)
	}
	kind := "ApiCall"
	if c.api.name == "ConsoleSignin" {
		kind = "ConsoleSignin"
	}
	b = append(b, `","eventType":"`...)
	b = append(b, kind...)
	b = append(b, `","eventCategory":"Management","userIdentity":`...)
	b = expand(b, c.by.identity, c)
	b = append(b, `,"serviceName":"`...)
	b = append(b, c.api.service...)
	b = append(b, `","eventName":"`...)
	b = append(b, c.api.name...)
	b = append(b, `","eventTime":"`...)
	b = time.Unix(c.at, 0).UTC().AppendFormat(b, time.RFC3339)
	b = append(b, `","apiVersion":"`...)
	b = append(b, acsVersion(c.api.service)...)
	b = append(b, `","isGlobal":`...)
	if c.api.global {
		b = append(b, "true"...)
	} else {
		b = append(b, "false"...)
	}
	b = append(b, `,"acsRegion":"`...)
	b = append(b, c.region...)
	b = append(b, `","recipientAccountId":"`...)
	b = append(b, f.account...)
	if c.fail != nil {
		b = append(b, `","errorCode":"`...)
		b = append(b, c.fail.code...)
		b = append(b, `","errorMessage":"`...)
		b = expand(b, c.fail.message, c)
	}
	b = append(b, `","requestParameters":`...)
	b = expand(b, orEmpty(c.api.params), c)
	if c.api.response != "" && c.fail == nil {
		b = append(b, `,"responseElements":`...)
		b = expand(b, c.api.response, c)
	}
	if c.api.resource != "" {
		b = append(b, `,"resourceType":"`...)
		b = append(b, c.api.resource...)
		b = expand(b, `","resourceName":"#","referencedResources":{"`+c.api.resource+`":["#"]}`, c)
	}
	if c.api.extra != "" {
		b = append(b, `,"additionalEventData":`...)
		b = expand(b, c.api.extra, c)
	}
	b = append(b, `,"requestId":"`...)
	b = appendUUID(b, c.request)
	return append(b, `"}`...)
}

// acsVersion returns the version of a service's interface.
func acsVersion(service string) string {
	switch service {
	case "Ram":
		return "2015-05-01"
	case "Actiontrail":
		return "2020-07-06"
	case "Rds", "Slb":
		return "2014-08-15"
	case "Sts":
		return "2015-04-01"
	case "Kms":
		return "2016-01-20"
	case "CS", "Alidns":
		return "2015-12-15"
	}
	return "2014-05-26"
}

func orNull(s string) string {
	if s == "" {
		return "null"
	}
	return s
}

func orEmpty(s string) string {
	if s == "" {
		return "{}"
	}
	return s
}

// expand appends a text in which '#' stands for the number of the resource, '~' for the start of the session and '%' for
// its temporary key.
func expand(b []byte, text string, c *call) []byte {
	for {
		i := strings.IndexAny(text, "#~%")
		if i < 0 {
			return append(b, text...)
		}
		b = append(b, text[:i]...)
		switch text[i] {
		case '#':
			b = appendHex(b, c.thing)
			b = append(b, '0') // the vendors' numbers have 17 digits
		case '~':
			b = time.Unix(c.session, 0).UTC().AppendFormat(b, time.RFC3339)
		case '%':
			b = appendKey(b, uint64(c.session/(12*hour)), c.by.name) // temporary keys live for half a day here
		}
		text = text[i+1:]
	}
}

func appendHex(b []byte, v uint64) []byte {
	const digits = "0123456789abcdef"
	for i := 60; i >= 0; i -= 4 {
		b = append(b, digits[v>>i&15])
	}
	return b
}

// appendUUID appends a version 4 UUID.
func appendUUID(b []byte, id [2]uint64) []byte {
	var raw [16]byte
	for i := range 8 {
		raw[i], raw[8+i] = byte(id[0]>>(8*i)), byte(id[1]>>(8*i))
	}
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80
	b = hex.AppendEncode(b, raw[:4])
	b = hex.AppendEncode(append(b, '-'), raw[4:6])
	b = hex.AppendEncode(append(b, '-'), raw[6:8])
	b = hex.AppendEncode(append(b, '-'), raw[8:10])
	return hex.AppendEncode(append(b, '-'), raw[10:])
}

// appendKey appends nine letters that look like a part of a key, a function of what it belongs to. Every key ends with
// EXAMPLE, so that no scanner takes it for a real one.
func appendKey(b []byte, n uint64, owner string) []byte {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	r := stream(n, "key", owner)
	for range 9 {
		b = append(b, letters[r.IntN(len(letters))])
	}
	return append(b, "EXAMPLE"...)
}

// key returns a long-lived key with a vendor's prefix.
func key(prefix, owner string) string { return string(appendKey([]byte(prefix), 0, owner)) }
