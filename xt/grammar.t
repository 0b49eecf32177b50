#!/usr/bin/perl

# The grammar of a request in the core against the same in Perl, xt/lib/Reference, by
# generated requests: 8,000, or all 100,000 with XT_LONG=1. LOGMEIN_SEED is where the
# generator begins.

use strict;
use warnings;
use blib;
use IO::Socket::UNIX ();
use Test::More;
use lib 'xt/lib';
use Plack::App::LogMeIn          ();
use Plack::App::LogMeIn::Form    qw(urlencoded);
use Plack::App::LogMeIn::Request ();
use Reference::Request           ();
use Test::Cpanel::LogMeIn;

my $COUNT = $ENV{XT_LONG} ? 100_000 : 8_000;
my $SEED  = $ENV{LOGMEIN_SEED} // 20_261;
srand $SEED;

my @open;
my $site = Test::Cpanel::LogMeIn->new(
    settings => {
        log             => 'none',
        trusted_proxies => '192.0.2.0/25 10.0.0.1 2001:db8:1::/48 ::ffff:198.51.100.0/120',
        'port.whm'      => 8443,
    }
);
my $gateway = Plack::App::LogMeIn->new( ports => { 8080 => 'webmail' } );
$gateway->prepare_app;
my $facts = $gateway->{facts};
my %io    = (
    front   => accepted( $site->dir . '/front.sock' ),
    gateway => accepted( $facts->{sessions}->setting('gateway_socket') ),
);

# A server's end of a connection.
sub accepted {
    my ($path) = @_;
    my $server = IO::Socket::UNIX->new( Local => $path, Listen => 1 ) or die "$path: $!\n";
    my $client = IO::Socket::UNIX->new($path)                         or die "$path: $!\n";
    my $io     = $server->accept                                      or die "$path: $!\n";
    push @open, $server, $client;
    return $io;
}

# The generator.

sub any  { return $_[ rand @_ ] }
sub once { my ($of) = @_; return rand $of < 1 }    # one time in so many

sub some {
    my ( $most, @of ) = @_;
    return map { any(@of) } 1 .. rand( $most + 1 );
}

my @ticket   = map { "lmt_$_" } 'A' x 43, 'a1_-' x 10 . 'xyz', '0' x 43;
my @token    = qw(/cpsess0123456789 /cpsess9876543210);
my @bad_path = (
    qw(. .. ... .. ..; .; .;x ..;x ;.. a;b .%3b ..%3B %2e %2E%2e .%2e %2e. .%2ex %3b), qw(%2f
        %2F %5c %5C %00 %0a %1f %1F %20 %7e %7f %7F %80 %c3%a9 %C3%A9 %C3 %c3%28 %c3a %a9 %c0%af),
    qw(%e0%80%af %e2%82%ac %e2%82 %ed%9f%bf %ed%a0%80 %ee%80%80 %ef%b7%8f %ef%b7%90 %ef%b7%af),
    qw(%ef%b7%b0 %ef%bf%bd %ef%bf%be %ef%bf%bf %f0%8f%bf%bf %f0%90%80%80 %f0%9f%98%80),
    qw(%f0%9f%bf%bd %f0%9f%bf%be %f0%af%bf%bf %f4%8f%bf%bd %f4%8f%bf%bf %f4%90%80%80 %f8%88),
    qw(%f0%9f%98 %zz % %4 %% %25 %2 %g0 %0g %252f %41 %6C + = & ~ : @ ! $ ' ( ) * [ ] ^ | ),
    qw(cpsess0123456789 /cpsess0123456789 cpsess CPSESS0123456789), q{}, q{,}, q{/}, q{//}, q{ },
    q{"},
    q{<}, q{\\}, q{#}, "\xe9", "\xc3\xa9", "\0", "\t", "\n", "\x7f", "\xff", 'x' x 300
);
my @good_path = (
    qw(a b frontend jupiter index.html login logout json-api xml-api execute favicon.ico
        robots.txt .well-known logmein check cpsess), q{}
);
my @path_start = (
    @token,                @token,               @token,              '//cpsess0123456789',
    '/cpsess012345678',    '/cpsess01234567890', '/cpsess',           '/cpsess12',
    '///cpsess0123456789', '/CPSESS0123456789',  '/cpsess012345678x', q{},
    q{},                   q{}
);

sub path {
    my $path = any(@path_start);
    $path .= q{/} . any(@good_path) for 1 .. rand 4;
    return $path if once(2);
    $path .= any( q{/}, q{/}, q{} ) . any( @good_path, @bad_path, @bad_path ) for 1 .. 1 + rand 3;
    return $path;
}

my @name = (
    qw(session session session goto_uri goto_uri login_only user pass a x.y sess%69on sessio%6E
        Session session[] session+ +session login%5Fonly login_onlyx goto%5furi %zz %00 %), q{}
);
my @like_tickets =
    map { ( substr( $_, 0, 46 ), $_ . 'x', s/_/%5f/r, s/_/%5F/gr, "+$_", "$_%00" ) } @ticket;
my @value = (
    (@ticket) x 3,
    @like_tickets,
    qw(1 1 %31 01 0 %2fx /x /x?y=1 //x %2f%2fx /../x http://evil.example/ \\x /a%0ab %00 %ff),
    qw(/%c3%a9 %e9 session=1 /x?session=1 a+b a%2bb %zz % = == a=b lmt_ LMT_),
    q{}, q{},
    '/' . 'p' x 2040,
    '%2f' . '%41' x 2047,
    'q' x 2100, 'r' x 2300
);

sub pair { return any(@name) . any( qw(= = = =), q{} ) . any(@value) }

sub query {
    my $query = join q{}, map { any( pair(), q{} ) . any(qw(& & & && ; ? &amp; +)) } 0 .. rand 5;
    $query =~ s/&\z// if once(2);
    return $query;
}

sub target {
    my $target = path() . ( once(3) ? q{} : q{?} . query() );
    substr $target, rand length $target, once(2), chr rand 256 if once(10);
    $target = any( q{}, q{*}, q{?}, '?login_only=1', 'login', 'http://a.example/x', q{//}, q{/} )
        if once(40);
    return $target;
}

my @cookie_name = qw(cpsession cpsession cpsession whostmgrsession webmailsession logmein_note
    logmein_left xcpsession cpsessionx CPSESSION lang);
my @cookie_value = (
    qw(alice%3aAAA alice%3aAAA alice%3aBBB "alice%3aAAA" x=y = no),
    q{}, q{ }, "v\t", "\xff", "\0", 'z' x 800
);

sub cookie {
    my $field = any( q{}, q{}, q{}, q{ }, q{;}, '; ', "\t" );
    for ( 0 .. rand 5 ) {
        $field .= any(@cookie_name) . any( qw(= = = = =), q{}, ' =', '= ' ) . any(@cookie_value);
        $field .= any( '; ', '; ', '; ', q{;}, ' ;', ', ', ";\t", "; \x0b", ";\x85", ';;', "\n" );
    }
    $field =~ s/; \z//;
    return $field;
}

my @address = (
    qw(192.0.2.1 192.0.2.127 192.0.2.128 10.0.0.1 198.51.100.7 203.0.113.9 127.0.0.1 ::1),
    qw(2001:db8:1::5 2001:DB8:1::5 2001:db8:2::5 ::ffff:192.0.2.1 ::ffff:203.0.113.9 64:ff9b::1),
    qw(::FFFF:10.0.0.1 ::ffff:c000:201 fe80::1 fe80::1%eth0 300.1.1.1 1.2.3 010.0.0.1 0 ::),
    q{},
    q{ },
    'unknown',
    '_hidden',
    "\xff",
    "192.0.2.1\0",
    '1' x 60
);

sub address {
    my $address = any(@address);
    return
          once(6)  ? "$address:" . any( qw(80 0 65536 123456789), q{}, 'x' )
        : once(6)  ? "[$address]"
        : once(6)  ? "[$address]:" . any( qw(443 0), q{}, 'x' )
        : once(40) ? any( "[$address", "$address]", "[[$address]]", "[$address]x", "[$address][]" )
        :            $address;
}

sub chain {
    my $chain = any( q{}, q{}, q{}, q{ }, q{,} );
    $chain .= address() . any( ', ', ', ', q{,}, ' ,', " ,\t", ',,', ', , ', q{ }, q{;} )
        for 1 .. rand 5;
    $chain =~ s/, \z// if !once(4);
    return $chain;
}

my @host = (
    qw(host.example HOST.example other.example host_1.example 192.0.2.7 [::1] [2001:db8::1] [::1
        ::1 [] [x] [::1]x a..b -), q{}, q{ }, 'host.example.', 'h st', "h\0", "h\xe9", '*', 'a,b',
    'host.example, other.example', 'user@host.example'
);
my @host_port = (
    qw(:2083 :2087 :2096 :443 :65535 :65536 :99999 :123456 :0 :00080 : :x :80:90 :+1),
    q{}, q{}
);

sub host { return once(3) ? any(@host) . any(@host_port) : 'host.example' . any(@host_port) }

sub origin {
    return
          any( qw(https http HTTPS x-y+z.1 null 1a), q{} )
        . any( '://', '://', '://', q{:}, q{} )
        . host();
}
my @purpose = (
    'prefetch', 'prefetch;prerender', 'Prerender', ' preview',
    "\tPRE",    "\x0bpre",            'pr',        'xpre',
    'navigate', q{},                  q{ },        "\xa0pre",
    'p',        'preview, prefetch'
);
my @accept = (
    '*/*',                               'application/json',
    'text/html, application/json;q=0.9', 'Application/JSON',
    'application/jsonp',                 'xapplication/json',
    'application/json-x',                '_application/json',
    'application/json_',                 "\xe9application/json\xe9",
    'application/xml',                   'text/html',
    q{},                                 'application/jso',
    '-application/json.'
);

# Fields that are there one time in three, and what makes their values.
my %field = (
    HTTP_ACCEPT         => sub { any(@accept) },
    HTTP_ORIGIN         => \&origin,
    HTTP_SEC_FETCH_SITE => sub {
        any( qw(same-origin none same-site cross-site None ), 'same-origin,', q{}, "none\n" );
    },
    HTTP_SEC_FETCH_DEST    => sub { any( qw(document document image iframe Document), q{} ) },
    HTTP_SEC_FETCH_MODE    => sub { 'navigate' },
    HTTP_SEC_PURPOSE       => sub { any(@purpose) },
    HTTP_PURPOSE           => sub { any(@purpose) },
    HTTP_X_PURPOSE         => sub { any(@purpose) },
    HTTP_X_MOZ             => sub { any(@purpose) },
    HTTP_USER_AGENT        => sub { 'Browser/1.0' },
    HTTP_X_ORIGINAL_URI    => \&target,
    HTTP_X_ORIGINAL_METHOD => \&method,
);
my @rare = qw(HTTP_PURPOSE HTTP_X_PURPOSE HTTP_X_MOZ HTTP_SEC_PURPOSE HTTP_ORIGIN);

sub method { return any( qw(GET GET GET POST POST HEAD PUT get OPTIONS GETX), "GET\n", q{} ) }

sub connection {
    my $how = rand 8;
    return ( 'psgix.io' => $io{gateway}, REMOTE_ADDR => any( q{}, undef ) ) if $how < 1;
    return ( 'psgix.io' => $io{front}, REMOTE_ADDR => any( q{}, undef, '192.0.2.1' ) )
        if $how < 3;
    return ( REMOTE_ADDR => any(@address) ) if $how < 5;
    return ()                               if $how < 5.1;
    return ( REMOTE_ADDR => '192.0.2.1' );
}

# Long values, as servers let them pass.
sub stretch {
    my ($env) = @_;
    my ($key) = any( grep { /\AHTTP_|\AREQUEST_URI/ && length $env->{$_} } sort keys %{$env} );
    return if !defined $key;
    $env->{$key} = substr $env->{$key} x ( 1 + 65_536 / length $env->{$key} ), 0, 65_536;
    return;
}

sub request {
    my $target = target();
    my %env    = (
        REQUEST_METHOD    => method(),
        REQUEST_URI       => $target,
        SCRIPT_NAME       => q{},
        HTTP_COOKIE       => cookie(),
        HTTP_HOST         => host(),
        SERVER_PORT       => any( qw(2083 2083 2087 8443 8080 2082 443 02083 0), q{}, undef ),
        'psgi.url_scheme' => any(qw(https https http HTTPS)),
        connection(),
    );
    for my $key ( sort keys %field ) {
        next if !once( ( grep { $_ eq $key } @rare ) ? 6 : 3 );
        $env{$key} = $field{$key}->();
    }
    $env{HTTP_X_FORWARDED_FOR}   = chain() if !once(4);
    $env{HTTP_X_FORWARDED_PROTO} = any( qw(https https https http HTTPS), 'https,http', q{} )
        if !once(4);
    $env{HTTP_X_FORWARDED_PORT} = any( qw(2083 2083 2087 2095 443 02083), '2083,1', q{} )
        if !once(4);
    delete $env{ any(qw(HTTP_COOKIE HTTP_HOST SERVER_PORT REQUEST_URI REQUEST_METHOD)) }
        if once(8);
    stretch( \%env ) if once(500);

    # What the app behind would see, or something else.
    my ($path) = split /[?]/, $env{REQUEST_URI} // q{}, 2;
    $env{PATH_INFO}                        = ( $path // q{} ) =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger;
    @env{qw(SCRIPT_NAME PATH_INFO)}        = $env{PATH_INFO}  =~ m{\A(/[^/]*|)(.*)\z}s if once(4);
    $env{ any(qw(PATH_INFO SCRIPT_NAME)) } = any( q{/}, q{}, undef, '/x', "\xe9" ) if once(15);
    return \%env;
}

# A question: a method and its arguments.
sub question {
    my ($name) = @_;
    my ( $method, @arguments ) = split q{ }, $name, -1;
    my $flag = $method =~ /\A(?:is_|has_|at_|clean|secure)/;
    return { name => $name, method => $method, arguments => \@arguments, flag => $flag };
}

# Those about the target are asked of an original request, too; the last ones may make
# the request unclean.
my $clean        = question('clean');
my @about_target = map { question($_) } qw(path token rest method is_passive program is_login_only
    is_login is_incidental goto_uri), 'has_query pass', 'has_query session', 'all session', 'all a';
my @about_fields = map { question($_) } qw(service secure address at_front at_gateway_socket
    caller_uid purpose destination agent is_cross_site is_embedded is_by_program_alone host host_port
    has_good_host cookie), map( { "cookie $_" } qw(cpanel whm webmail) ),
    'has_cookie logmein_note', 'has_cookie cpsession';
my @marking =
    map { question($_) } qw(ticket target_of_ticket),
    map { "query $_" } qw(session goto_uri user login_only), q{};

# A request without a service has no cookie. The reference takes one without a name for
# it; the gateway asks only if there is a service.
sub is_explained {
    my ( $request, $question ) = @_;
    return $question->{name} eq 'cookie' && !defined $request->service;
}

sub answer {
    my ( $request, $question ) = @_;
    my $method = $question->{method};
    my @values = $request->$method( @{ $question->{arguments} } );
    return $values[-1] ? 'yes' : q{} if $question->{flag};
    return join q{|}, map { defined ? "'$_'" : q{} } @values;
}

sub shown { my ($text) = @_; return $text =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger }

my ( %seen, @differences );
my $answers = 0;

# The reference adds keys without a value to the environment, of which it then takes
# some for fields.
sub clear_added {
    my ( $old, $new ) = @_;
    return if keys %{$old} == keys %{$new};
    delete @{$old}{ grep { !exists $new->{$_} } keys %{$old} };
    return;
}

sub compare {
    my ( $old, $new, @questions ) = @_;
    $answers += @questions;
    for my $question (@questions) {
        my $is  = is_explained( $old, $question ) ? q{} : answer( $old, $question );
        my $got = answer( $new, $question );
        clear_added( $old->env, $new->env );
        $seen{ $question->{name} }{ $got eq q{} || $got eq q{''} ? 'no' : 'yes' }++;
        push @differences, "$question->{name}: $got is not $is" if $got ne $is;
    }
    return;
}

# The pairs of a form, as one text.
sub text_of_pairs {
    return join q{&}, map { "$_->[0]=$_->[1]" } @_;
}

# All parts of an environment that can be printed.
sub text_of {
    my ($env) = @_;
    return join "\n", map { "$_=" . ( $env->{$_} // 'undef' ) }
        grep { $_ ne 'psgix.io' } sort keys %{$env};
}

# The number of differences in one request. Warnings are the reference's, about what it
# takes for a service.
sub try_request {
    my ($env)  = @_;
    my $before = @differences;
    my %facts  = ( %{$facts}, once(10) ? ( service => 'whm' ) : () );
    my @env    = ( { %{$env} }, { %{$env} } );
    my @mixed =
        map { ( $_->[0], $clean ) } sort { $a->[1] <=> $b->[1] } map { [ $_, rand ] } @marking;
    local $SIG{__WARN__} = sub { };
    my $old = Reference::Request->new( $env[0], \%facts );
    my $new = Plack::App::LogMeIn::Request->new( $env[1], \%facts );
    compare( $old, $new, $clean, @about_fields, @about_target, @mixed );
    compare( $old->original, $new->original, $clean, @about_target, @mixed );
    push @differences, 'environment' if text_of( $env[0] ) ne text_of( $env[1] );
    my $text = query();
    my ( $is, $got ) = (
        text_of_pairs( Reference::Request::urlencoded($text) ),
        text_of_pairs( urlencoded($text) )
    );
    push @differences, "urlencoded: $got is not $is" if $got ne $is;
    return @differences - $before;
}

for my $number ( 1 .. $COUNT ) {
    my $env = request();
    next if !try_request($env) || @differences > 20;
    diag( "request $number of seed $SEED:\n" . shown( substr text_of($env), 0, 5000 ) );
}
is( scalar @differences, 0, "no difference in $COUNT requests" )
    or diag( map { shown( substr $_, 0, 1000 ) . "\n" } @differences[ 0 .. 9 ] );
note("$COUNT requests, $answers answers, ${\ scalar @differences } differences");

# The generator reaches both answers of each question: something or nothing.
for my $name ( sort grep { !/\A(?:agent|method)\z/ } keys %seen ) {
    my ( $no, $yes ) = map { $seen{$name}{$_} // 0 } qw(no yes);
    cmp_ok( $no < $yes ? $no : $yes, '>=', $COUNT / 200, "$name: $yes times, and not $no times" );
}

# A reference that decides a little otherwise is noticed.
my %spoiled = (
    '_decode' => sub {
        my ($path) = @_;
        return $path =~ /%2f/i ? $path : undef;
    },
    '_without_port' => sub { my ($text) = @_; return $text =~ s/:[0-9]+\z//r },
    'urlencoded'    => sub {
        my ($text) = @_;
        return map { [ split( /=/, $_, 2 ), q{} ] } grep { length } split /[&;]/, $text // q{};
    },
    'cookie' => sub {
        my ( $self, $service ) = @_;
        return ( $self->{env}{HTTP_COOKIE} // q{} ) =~ /cpsession=([^;]*)/ ? $1 : undef;
    },
    'is_cross_site' => sub {
        my ($self) = @_;
        return ( $self->{env}{HTTP_SEC_FETCH_SITE} // 'none' ) !~ /\A(?:same-origin|none)\z/;
    },
    'purpose' => sub { my ($self) = @_; return $self->{env}{HTTP_SEC_PURPOSE} },
    'host'    => sub {
        my ($self) = @_;
        return ( $self->{env}{HTTP_HOST} // q{} ) =~ /\A([^:]+)/ ? $1 : undef;
    },
    'is_login'      => sub { my ($self) = @_; return $self->{target} =~ m{\A/login/?} },
    '_join_slashes' => sub { },
);
for my $name ( sort keys %spoiled ) {
    ## no critic (ProhibitNoStrict, ProhibitNoWarnings, ProhibitProlongedStrictureOverride)
    no strict 'refs';
    no warnings 'redefine';
    local *{"Reference::Request::$name"} = $spoiled{$name};
    @differences = ();
    try_request( request() ) for 1 .. 1000;
    cmp_ok( scalar @differences, '>', 0, "control: another $name is noticed" );
}
done_testing();
