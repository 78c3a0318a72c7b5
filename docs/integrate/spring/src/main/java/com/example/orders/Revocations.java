package com.example.orders;

import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.JSONObjectUtils;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import jakarta.annotation.PostConstruct;
import jakarta.servlet.Filter;
import jakarta.servlet.http.HttpServletResponse;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.security.core.context.SecurityContextHolder;
import org.springframework.security.oauth2.core.OAuth2TokenValidator;
import org.springframework.security.oauth2.core.OAuth2TokenValidatorResult;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationToken;
import org.springframework.stereotype.Component;

/**
 * Refuses access tokens that were revoked before they expired. A thread fetches the signed snapshot
 * of all revocations, then follows the stream of changes, and reconnects after an outage.
 */
@Component
class Revocations implements OAuth2TokenValidator<Jwt> {
    private static final Logger LOG = LoggerFactory.getLogger(Revocations.class);
    /** The longest snapshot that the service holds in memory, in bytes. */
    private static final int MAX_SNAPSHOT = 64 << 20;
    /** The longest event or document of metadata, in bytes. */
    private static final int MAX_EVENT = 1 << 20;
    /** The highest number of lanes. Signet has fewer. */
    private static final int MAX_LANES = 64;
    /** The lane of every Signet, and of documents that name none. */
    private static final String FIRST_LANE = "0";
    private static final int TIMEOUT_MS = 5000;
    private static final long SECOND = Duration.ofSeconds(1).toNanos();
    /** The time between two requests for a snapshot of one lane, in nanoseconds. */
    private static final long BETWEEN_SNAPSHOTS = SECOND;
    /** The same after a snapshot that was too large. */
    private static final long BETWEEN_LARGE_SNAPSHOTS = 10 * SECOND;
    /** The longest transfer of a snapshot, in nanoseconds. */
    private static final long MAX_TRANSFER = 60 * SECOND;
    private static final Set<String> CLAIMS = Set.of("sid", "jti", "kid", "sub", "client_id");

    private record Key(String claim, String value) {}

    /** A revocation of tokens issued earlier than {@code before}, in seconds since 1970. */
    private record Entry(long before, long exp) {
        Entry or(Entry other) {
            return new Entry(Math.max(before, other.before), Math.max(exp, other.exp));
        }
    }

    /** One of the histories of the feed, with an epoch and numbers of its own. */
    private static final class Lane {
        volatile Map<Key, Entry> entries = new ConcurrentHashMap<>();
        /**
         * Every revocation until then is in {@code entries}. By {@link System#nanoTime}, which never
         * jumps; null before the first snapshot.
         */
        volatile Long knownAt;
        // Only the thread uses the other fields.
        String epoch = "";
        long seq;
        String etag;
        long askedAt = System.nanoTime() - 2 * BETWEEN_SNAPSHOTS;
        boolean isTooLarge;

        Lane(Long knownAt) {
            this.knownAt = knownAt;
        }

        void know(long at) {
            if (knownAt == null || at - knownAt > 0) {
                knownAt = at;
            }
        }
    }

    private final String issuer;
    private final Duration maxStaleness;
    private final CountDownLatch first = new CountDownLatch(1);
    /** The lanes by name. A change replaces the map, so that no reader sees half of it. */
    private volatile Map<String, Lane> lanes = Map.of(FIRST_LANE, new Lane(null));
    // Only the thread uses the other fields.
    private JWKSource<SecurityContext> keys;
    private URI snapshotUri;
    private URI streamUri;
    /** Whether events name lanes, which those of the previous version of Signet do not. */
    private boolean namesLanes;
    private long purgedAt = System.nanoTime();

    Revocations(
            @Value("${spring.security.oauth2.resourceserver.jwt.issuer-uri}") String issuer,
            @Value("${signet.max-staleness}") long maxStaleness) {
        this.issuer = issuer;
        this.maxStaleness = Duration.ofSeconds(maxStaleness);
    }

    /** Starts the thread, and waits a little for the first snapshot. */
    @PostConstruct
    void start() throws InterruptedException {
        Thread thread = new Thread(this::run, "revocations");
        thread.setDaemon(true);
        thread.start();
        first.await(maxStaleness.toMillis() / 2, TimeUnit.MILLISECONDS);
    }

    @Override
    public OAuth2TokenValidatorResult validate(Jwt token) {
        if (token.getIssuedAt() == null) {
            return Security.invalid("the token does not say when it was issued");
        }
        long issuedAt = token.getIssuedAt().getEpochSecond();
        boolean revoked = CLAIMS.stream().anyMatch(claim -> {
            Object value = claim.equals("kid") ? token.getHeaders().get("kid") : token.getClaim(claim);
            return value instanceof String text && isRevoked(new Key(claim, text), issuedAt);
        });
        return revoked ? Security.invalid("the token is revoked") : OAuth2TokenValidatorResult.success();
    }

    private boolean isRevoked(Key key, long issuedAt) {
        return lanes.values().stream().map(lane -> lane.entries.get(key))
            .anyMatch(entry -> entry != null && issuedAt < entry.before);
    }

    /** Answers 503 to good tokens while the revocations are older than the longest staleness. */
    Filter notStale() {
        return (request, response, chain) -> {
            Long oldest = knownAt();
            boolean stale = oldest == null || System.nanoTime() - oldest > maxStaleness.toNanos();
            if (stale && SecurityContextHolder.getContext().getAuthentication()
                    instanceof JwtAuthenticationToken) {
                Security.unavailable((HttpServletResponse) response);
            } else {
                chain.doFilter(request, response);
            }
        };
    }

    /** The time until which every revocation of every lane is known; null if there is none. */
    private Long knownAt() {
        Long oldest = null;
        for (Lane lane : lanes.values()) {
            Long at = lane.knownAt;
            if (at == null) {
                return null;
            }
            oldest = oldest == null || at - oldest < 0 ? at : oldest;
        }
        return oldest;
    }

    private void run() {
        long pause = SECOND;
        boolean behind = true;
        while (true) {
            try {
                if (keys == null) {
                    discover();
                }
                if (behind) {
                    // At the start, and as long as no stream sends events.
                    takeSnapshots();
                }
                first.countDown();
                behind = true; // unless an event arrives
                if (follow()) {
                    behind = false;
                    pause = SECOND;
                }
            } catch (Exception | StackOverflowError failure) {
                LOG.warn("no revocations: {}", failure.toString());
            }
            first.countDown();
            try {
                // A random pause, so that the services do not all reconnect in the same moment.
                long random = ThreadLocalRandom.current().nextLong(pause / 2);
                TimeUnit.NANOSECONDS.sleep(pause / 2 + random);
            } catch (InterruptedException interrupted) {
                return;
            }
            pause = Math.max(SECOND, Math.min(2 * pause, maxStaleness.toNanos() / 4));
        }
    }

    private void discover() throws Exception {
        URI address = URI.create(issuer + "/.well-known/oauth-authorization-server");
        HttpURLConnection answer = get(address, null, null, TIMEOUT_MS);
        try (InputStream body = expect(answer, 200).getInputStream()) {
            byte[] text = body.readNBytes(MAX_EVENT);
            Map<String, Object> metadata = json(new String(text, StandardCharsets.UTF_8));
            if (!issuer.equals(metadata.get("issuer"))) {
                throw new IOException("the metadata are those of " + metadata.get("issuer"));
            }
            snapshotUri = JSONObjectUtils.getURI(metadata, "revocations_uri");
            streamUri = JSONObjectUtils.getURI(metadata, "revocations_stream_uri");
            keys = JWKSourceBuilder.create(JSONObjectUtils.getURI(metadata, "jwks_uri").toURL()).build();
        }
    }

    /** Reads server-sent events (WHATWG HTML 9.2) until the connection ends; returns whether any came. */
    private boolean follow() throws Exception {
        // A connection without data for half the longest staleness is dead; Signet sends a heartbeat
        // every 2 seconds.
        int silence = Math.toIntExact(maxStaleness.toMillis() / 2);
        // Signet resumes the first lane, and sends the position of the others.
        String last = (namesLanes ? FIRST_LANE + ":" : "") + lanes.get(FIRST_LANE).seq;
        HttpURLConnection answer = get(streamUri, "Last-Event-ID", last, silence);
        boolean heard = false;
        try (InputStream stream = new BufferedInputStream(expect(answer, 200).getInputStream())) {
            String name = "";
            StringBuilder data = new StringBuilder();
            while (true) {
                String line = line(stream);
                int colon = line.indexOf(':');
                String field = colon < 0 ? line : line.substring(0, colon);
                String value = colon < 0 ? "" : line.substring(colon + 1).replaceFirst("^ ", "");
                if (line.isEmpty()) {
                    if (!data.isEmpty()) {
                        hear(name, data.toString());
                        heard = true;
                    }
                    name = "";
                    data.setLength(0);
                } else if (field.equals("event")) {
                    name = value;
                } else if (field.equals("data")) {
                    data.append(data.isEmpty() ? "" : "\n").append(value);
                    if (data.length() > MAX_EVENT) {
                        throw new IOException("an event does not end");
                    }
                }
            }
        } catch (IOException | java.text.ParseException | com.nimbusds.jose.JOSEException
                | com.nimbusds.jose.proc.BadJOSEException ended) {
            LOG.warn("no stream of revocations: {}", ended.toString());
            return heard;
        } finally {
            answer.disconnect();
        }
    }

    private static String line(InputStream stream) throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        for (int next = stream.read(); next != '\n'; next = stream.read()) {
            if (next < 0) {
                throw new EOFException("the stream ended");
            }
            if (line.size() > MAX_EVENT) {
                throw new IOException("a line does not end");
            }
            line.write(next);
        }
        return line.toString(StandardCharsets.UTF_8).replaceFirst("\r$", "");
    }

    private void hear(String name, String data) throws Exception {
        long heardAt = System.nanoTime();
        if (name.equals("revocation")) {
            JWTClaimsSet change = verify(data, "secevent+jwt");
            String lane = laneOf(change.getClaims());
            applyChange(lane, meet(lane), change, heardAt);
        } else if (name.equals("snapshot") || name.equals("heartbeat")) {
            Map<String, Object> state = json(data);
            namesLanes = state.containsKey("lane");
            String lane = laneOf(state);
            compare(lane, meet(lane), state, name.equals("heartbeat"), heardAt);
            for (Map.Entry<String, Lane> other : lanes.entrySet()) {
                // A lane that sends nothing may have ended.
                Long at = other.getValue().knownAt;
                boolean silent = at == null || heardAt - at > maxStaleness.toNanos() / 2;
                if (silent && !other.getKey().equals(lane)) {
                    catchUp(other.getKey(), heardAt);
                }
            }
        }
    }

    /** Adds a change. A gap before it, or another epoch, calls for the snapshot. */
    private void applyChange(String name, Lane lane, JWTClaimsSet change, long now) throws Exception {
        // The entries hold even if earlier ones are missing.
        add(lane.entries, change);
        boolean same = lane.epoch.equals(change.getStringClaim("epoch"));
        long last = change.getLongClaim("seq");
        Long from = change.getLongClaim("first_seq");
        if (same && (from == null ? last : from) <= lane.seq + 1) {
            lane.seq = Math.max(lane.seq, last);
        } else if (!same || last > lane.seq) {
            catchUp(name, now);
        }
    }

    /** Compares a lane with where Signet says that it stands. */
    private void compare(String name, Lane lane, Map<String, Object> state, boolean isHeartbeat, long now)
            throws Exception {
        if (!lane.epoch.equals(state.get("epoch")) || JSONObjectUtils.getLong(state, "seq") > lane.seq) {
            catchUp(name, now);
        } else if (isHeartbeat) {
            double age = JSONObjectUtils.getDouble(state, "age");
            if (!(age >= 0 && age < Integer.MAX_VALUE)) {
                throw new IOException("a heartbeat without an age");
            }
            lane.know(now - (long) (age * SECOND));
            purge(now);
        }
    }

    /** The name of the lane that a document is about. The previous version of Signet names none. */
    private static String laneOf(Map<String, Object> document) throws IOException {
        if (document.getOrDefault("lane", FIRST_LANE) instanceof String name) {
            return name;
        }
        throw new IOException("the lane is not a string");
    }

    /** Returns the lane of this name. A new one is as old as the oldest until its snapshot comes. */
    private Lane meet(String name) throws IOException {
        Lane lane = lanes.get(name);
        if (lane == null) {
            if (lanes.size() >= MAX_LANES) {
                throw new IOException("the feed has more than " + MAX_LANES + " lanes");
            }
            lane = new Lane(knownAt());
            Map<String, Lane> more = new HashMap<>(lanes);
            more.put(name, lane);
            lanes = more;
        }
        return lane;
    }

    /** Forgets a lane that has ended. Its revocations stay in effect. */
    private void end(String name) {
        Map<String, Lane> fewer = new HashMap<>(lanes);
        Lane ended = fewer.remove(name);
        Map<Key, Entry> kept = fewer.get(FIRST_LANE).entries;
        ended.entries.forEach((key, entry) -> kept.merge(key, entry, Entry::or));
        lanes = fewer;
    }

    /** Fetches a snapshot, but not at every event. The next heartbeat calls for it again. */
    private void catchUp(String name, long now) throws Exception {
        Lane lane = lanes.get(name);
        long between = lane.isTooLarge ? BETWEEN_LARGE_SNAPSHOTS : BETWEEN_SNAPSHOTS;
        if (now - lane.askedAt > between) {
            takeSnapshot(name, lane);
        }
    }

    private void takeSnapshots() throws Exception {
        for (Map.Entry<String, Lane> each : lanes.entrySet()) {
            if (each.getValue().isTooLarge) {
                catchUp(each.getKey(), System.nanoTime());
            } else {
                takeSnapshot(each.getKey(), each.getValue());
            }
        }
    }

    private void takeSnapshot(String name, Lane lane) throws Exception {
        long start = System.nanoTime();
        lane.askedAt = start;
        boolean isFirst = name.equals(FIRST_LANE);
        // The previous version of Signet knows only one lane, and no name for it.
        URI address = isFirst ? snapshotUri
            : URI.create(snapshotUri + "?lane=" + URLEncoder.encode(name, StandardCharsets.UTF_8));
        HttpURLConnection answer = get(address, "If-None-Match", lane.etag, TIMEOUT_MS);
        try {
            int status = answer.getResponseCode();
            if (status == HttpURLConnection.HTTP_NOT_FOUND && !isFirst) {
                end(name);
                return;
            }
            if (status != HttpURLConnection.HTTP_NOT_MODIFIED) {
                byte[] text = read(expect(answer, 200), start + MAX_TRANSFER);
                lane.isTooLarge = text.length > MAX_SNAPSHOT;
                if (lane.isTooLarge) {
                    // The entries at hand stay in effect, their age grows, and the stream goes on.
                    LOG.error("revocations_too_large: the snapshot has more than {} bytes", MAX_SNAPSHOT);
                    return;
                }
                replace(name, lane, verify(new String(text, StandardCharsets.UTF_8), "revocations+jwt"));
                lane.etag = answer.getHeaderField("ETag");
            }
            long age = Long.parseLong(String.valueOf(answer.getHeaderField("Age")));
            if (age < 0 || age > Integer.MAX_VALUE) {
                throw new IOException("the snapshot's age is " + age);
            }
            lane.knownAt = start - age * SECOND;
        } catch (NumberFormatException none) {
            throw new IOException("the snapshot has no age");
        } finally {
            answer.disconnect();
        }
    }

    /** The body, or a little more of it than a snapshot may have. */
    private static byte[] read(HttpURLConnection answer, long deadline) throws IOException {
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        byte[] chunk = new byte[64 << 10];
        try (InputStream stream = answer.getInputStream()) {
            for (int size = 0; size >= 0 && body.size() <= MAX_SNAPSHOT; size = stream.read(chunk)) {
                body.write(chunk, 0, size);
                if (System.nanoTime() - deadline > 0) {
                    throw new IOException("the snapshot does not end");
                }
            }
        }
        return body.toByteArray();
    }

    /**
     * Adds a snapshot to the lane: Signet never takes entries back, and an instance may lag a little.
     * A snapshot of another epoch replaces everything.
     */
    private static void replace(String name, Lane lane, JWTClaimsSet snapshot) throws Exception {
        if (!laneOf(snapshot.getClaims()).equals(name)) {
            throw new IOException("the snapshot of another lane");
        }
        String now = snapshot.getStringClaim("epoch");
        Map<Key, Entry> all = now.equals(lane.epoch) ? lane.entries : new ConcurrentHashMap<>();
        add(all, snapshot);
        lane.entries = all;
        lane.epoch = now;
        lane.seq = snapshot.getLongClaim("seq");
    }

    /** The claims of a document of the feed that Signet signed with this {@code typ}. */
    private JWTClaimsSet verify(String jws, String type) throws Exception {
        DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();
        processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType(type)));
        processor.setJWSKeySelector(new JWSVerificationKeySelector<>(JWSAlgorithm.RS256, keys));
        processor.setJWTClaimsSetVerifier(
            new DefaultJWTClaimsVerifier<>(null, Set.of("iss", "epoch", "seq", "revocations")));
        JWTClaimsSet claims = processor.process(jws, null);
        String feed = issuer + "/revocations";
        // The previous version of Signet signs as the issuer, and for no audience.
        if (!Set.of(issuer, feed).contains(claims.getIssuer())) {
            throw new IOException("the issuer is " + claims.getIssuer());
        }
        if (feed.equals(claims.getIssuer()) && !claims.getAudience().equals(List.of(feed))) {
            throw new IOException("the audience is " + claims.getAudience());
        }
        return claims;
    }

    /** Adds entries of the known shapes. Those of other shapes are of a newer version of Signet. */
    private static void add(Map<Key, Entry> entries, JWTClaimsSet statement) throws Exception {
        for (Object item : statement.getListClaim("revocations")) {
            if (!(item instanceof Map<?, ?> members)) {
                continue;
            }
            for (String claim : CLAIMS) {
                boolean hasLimit = claim.equals("sub") || claim.equals("client_id");
                if (members.get(claim) instanceof String value && members.containsKey("exp")
                        && members.size() == (hasLimit ? 3 : 2)) {
                    long before = hasLimit ? number(members.get("before")) : Long.MAX_VALUE;
                    Entry entry = new Entry(before, number(members.get("exp")));
                    entries.merge(new Key(claim, value), entry, Entry::or);
                }
            }
        }
    }

    private static long number(Object value) {
        return value instanceof Number number ? number.longValue() : Long.MAX_VALUE;
    }

    private void purge(long now) {
        if (now - purgedAt > 60 * SECOND) {
            purgedAt = now;
            long seconds = Instant.now().getEpochSecond();
            // Keys stay: a library may hold on to one for longer than Signet publishes it.
            lanes.values().forEach(lane -> lane.entries.entrySet().removeIf(entry ->
                entry.getValue().exp <= seconds && !entry.getKey().claim.equals("kid")));
        }
    }

    private static Map<String, Object> json(String text) throws java.text.ParseException {
        return JSONObjectUtils.parse(text);
    }

    private static HttpURLConnection get(URI address, String name, String value, int readTimeout)
            throws IOException {
        HttpURLConnection connection = (HttpURLConnection) address.toURL().openConnection();
        connection.setConnectTimeout(TIMEOUT_MS);
        connection.setReadTimeout(readTimeout);
        connection.setUseCaches(false);
        if (value != null) {
            connection.setRequestProperty(name, value);
        }
        return connection;
    }

    private static HttpURLConnection expect(HttpURLConnection answer, int status) throws IOException {
        if (answer.getResponseCode() != status) {
            throw new IOException(answer.getURL() + " answers " + answer.getResponseCode());
        }
        return answer;
    }
}
