package Plack::App::LogMeIn;

use strict;
use warnings;
use parent                       qw(Plack::Component);
use Plack::Util::Accessor        qw(logins_at_once ports service sessions);
use Cpanel::LogMeIn              ();
use Cpanel::LogMeIn::Session     ();
use Plack::App::LogMeIn::Answer  ();
use Plack::App::LogMeIn::Numbers ();
use Plack::App::LogMeIn::Page    ();
use Plack::App::LogMeIn::Request ();
use Plack::App::LogMeIn::Slots   ();
use Socket                       qw(IPPROTO_TCP TCP_NODELAY);
use URI::Escape                  qw(uri_escape);

our $VERSION = '0.01';

my %SERVICE = map { $_->{name} => $_ } Cpanel::LogMeIn::services();

my $PATIENCE   = 5;                                 # seconds to wait for a slot
my $NOTE_LIFE  = 60;                                # seconds
my $EPOCH      = 'Thu, 01 Jan 1970 00:00:00 GMT';
my $IN_ADDRESS = 'A password in the address of a page is not accepted, because others may read'
    . ' it there. Please log in here.';

# The verdicts about a head, besides an answer.
my $FORM = 'form';
my $PASS = 'pass';

my @LOGIN_FIELDS = qw(user pass active_token_for_reuse tfa_token);

my $LOGIN_PATH  = qr{\A/login/?\z};
my $LOGOUT_PATH = qr{\A/logout/?\z};

# Names of headers that browsers or other clients send, and that applications may
# believe.
my @NOT_FROM_CLIENTS = qw(HTTP_FORWARDED HTTP_PROXY HTTP_REMOTE_USER HTTP_X_FORWARDED_PREFIX
    HTTP_X_FORWARDED_USER HTTP_X_REAL_IP HTTP_X_REMOTE_USER);

# The sessions object reads the settings once, when the server starts.
sub prepare_app {
    my ($self) = @_;
    $self->sessions( Cpanel::LogMeIn::Session->new ) if !$self->sessions;
    my %setting = eval { $self->sessions->settings };
    die "$Cpanel::LogMeIn::detail\n" if !%setting;
    die "cookie_prefix: letters, digits, '-' and '_' only\n"
        if $setting{cookie_prefix} !~ /\A[A-Za-z0-9_-]*\z/;
    die "service: @{[ sort keys %SERVICE ]}\n"
        if defined $self->service && !$SERVICE{ $self->service };
    my ($folder) = $setting{key_file} =~ m{\A(.*)/}s;
    $self->{answer} = Plack::App::LogMeIn::Answer->new(
        page => Plack::App::LogMeIn::Page->new(%setting),
        hsts => $setting{hsts}
    );
    $self->{numbers} = Plack::App::LogMeIn::Numbers->new(
        answer   => $self->{answer},
        sessions => $self->sessions
    );
    $self->{slots}         = Plack::App::LogMeIn::Slots->new( $folder, $self->logins_at_once );
    $self->{failurl_hosts} = _failurl_hosts( $setting{failurl_hosts} );
    $self->{facts}         = {
        service     => $self->service,
        sessions    => $self->sessions,
        cookie_name =>
            { map { $_ => $setting{cookie_prefix} . $SERVICE{$_}{cookie} } keys %SERVICE },
        service_at => {
            (
                map { ( $_->{port} => $_->{name}, $_->{clear_port} => $_->{name} ) }
                    values %SERVICE
            ),
            %{ $self->ports // {} },
            map { ( $setting{"port.$_"} => $_ ) } keys %SERVICE
        },
    };
    return;
}

# A hash of the hosts, in lower case.
sub _failurl_hosts {
    my ($list) = @_;
    my @hosts  = split q{ }, lc $list;
    my ($odd)  = grep { !/\A[a-z0-9.-]+(?::[0-9]{1,5})?\z/ } @hosts;
    die "failurl_hosts: '$odd' is not a host name\n" if defined $odd;
    return { map { $_ => 1 } @hosts };
}

sub _setting {
    my ( $self, $name ) = @_;
    return $self->sessions->setting($name);
}

sub call {
    my ( $self, $env ) = @_;
    my $answer = $env->{'logmein.session'} ? undef : $self->admit($env);
    return $answer // $self->_complete( $self->_request($env), 'not_found' );
}

# Returns the answer; if the request is allowed, returns nothing and sets the
# environment.
sub admit {
    my ( $self, $env ) = @_;
    my $io = $env->{'psgix.io'};
    setsockopt $io, IPPROTO_TCP, TCP_NODELAY, 1
        if $env->{'psgi.url_scheme'} eq 'https' && defined eval { fileno $io };
    my $request = $self->_request($env);
    my $verdict = $self->_route($request);
    $verdict = $self->_answer_form($request) if $verdict eq $FORM;
    return $verdict eq $PASS ? undef : $self->_complete( $request, $verdict );
}

# By the head alone: the answer, 'form' or 'pass'.
sub judge {
    my ( $self, $env ) = @_;
    my $request = $self->_request($env);
    my $verdict = $self->_route($request);
    return $verdict eq $FORM || $verdict eq $PASS
        ? $verdict
        : $self->_complete( $request, $verdict );
}

# The answer for this client to a request that the server itself refuses.
sub refusal {
    my ( $self, $env, $status ) = @_;
    my $request = $self->_request($env);
    $self->sessions->count_refusal( $request->service, 'busy' ) if $status == 503;
    return $self->_complete( $request, $self->{answer}->refuse_at_server( $request, $status ) );
}

# What limits the number of parallel logins: a Plack::App::LogMeIn::Slots.
sub slots { my ($self) = @_; return $self->{slots} }

sub _request {
    my ( $self, $env ) = @_;
    return Plack::App::LogMeIn::Request->new( $env, $self->{facts} );
}

# An answer, or the name of a refusal, as PSGI wants it.
sub _complete {
    my ( $self, $request, $given ) = @_;
    my $answer = ref $given ? $given : $self->_refuse( $request, $given );
    my ( $status, $headers, $body ) = @{$answer};
    push @{$headers}, 'Content-Length' => length $body->[0] if @{$body};
    return [ $status, $headers, $request->method eq 'HEAD' ? [] : $body ];
}

# The answer, or the name of a refusal; $FORM if it depends on the form in the
# request's body; $PASS if the request is allowed.
sub _route {
    my ( $self, $request ) = @_;
    return 'bad_request'                     if !$request->clean;
    return $self->_route_at_socket($request) if $request->at_gateway_socket;
    my $told = $self->{numbers}->route($request);
    return $told                              if $told;
    return $self->_check($request)            if $request->path eq '/logmein/check';
    return 'bad_host'                         if !$request->has_good_host;
    return 'no_service'                       if !$request->service;
    return $self->_route_clear_text($request) if !$request->secure;
    my $rest = $request->rest;
    return $self->_route_login($request)  if $rest =~ $LOGIN_PATH;
    return $self->_route_logout($request) if $rest =~ $LOGOUT_PATH;
    my $ticket   = $request->ticket;
    my $goto_uri = defined $ticket ? $request->target_of_ticket : undef;
    return 'bad_request'                                  if !$request->clean;
    return $self->_redeem( $request, $ticket, $goto_uri ) if defined $ticket;
    my ( $session, $reason ) = $self->_check_session($request);
    return $self->_pass( $request, $session ) if $session;
    return $self->_refuse_page( $request, $reason );
}

# For a request of which the head is in order: the form is read here only.
sub _answer_form {
    my ( $self, $request ) = @_;
    my $fault = $request->read_form;
    return $fault                              if $fault;
    return $self->_log_in_at_socket($request)  if $request->at_gateway_socket;
    return $self->_refuse_clear_text($request) if !$request->secure;
    return $self->_logout($request)            if $request->rest =~ $LOGOUT_PATH;
    return $self->_login($request);
}

# The only function that allows a request: it returns a session if, and only if,
# cookie, token and service match it.
sub _check_session {
    my ( $self, $request ) = @_;
    my $cookie = $request->cookie;
    return ( undef, 'no cookie' ) if !defined $cookie;
    return $self->sessions->check(
        cookie    => $cookie,
        token     => $request->token,
        service   => $request->service,
        address   => $request->address,
        foreign   => $request->is_cross_site,
        uncounted => $request->is_incidental,
    );
}

# The token is moved from PATH_INFO to SCRIPT_NAME.
sub _pass {
    my ( $self, $request, $session ) = @_;
    my $env = $request->env;
    delete @{$env}{@NOT_FROM_CLIENTS};
    delete @{$env}{ grep { /\AHTTP_X_LOGMEIN_/ } keys %{$env} };
    delete @{$env}{ grep { /\AHTTP_X_FORWARDED_/ } keys %{$env} } if !$request->at_front;
    $env->{REMOTE_USER}       = $session->{user};
    $env->{'logmein.session'} = $session;
    $env->{'logmein.user'}    = $session->{user};
    $env->{'logmein.service'} = $session->{service};
    $env->{'logmein.token'}   = $session->{token};
    $env->{'logmein.logout'}  = "$session->{token}/logout/";
    $env->{SCRIPT_NAME}       = $session->{token};
    $env->{PATH_INFO}         = substr $env->{PATH_INFO}, length $session->{token};
    return $PASS;
}

# Cookies.

sub _cookie {
    my ( $self, $service, $name, $value, @more ) = @_;
    my $port = $self->_setting("port.$service");
    my $text = join q{; }, "$name=$value", 'HttpOnly', 'path=/', "port=$port", 'secure',
        'SameSite=Lax', @more;
    return ( 'Set-Cookie' => $text );
}

sub _cookies {
    my ( $self, $service, $value, $relogin, @more ) = @_;
    return (
        $self->_cookie( $service, $self->{facts}{cookie_name}{$service}, $value,   @more ),
        $self->_cookie( $service, $SERVICE{$service}{relogin},           $relogin, @more ),
    );
}

# Refusals.

sub _refuse {
    my ( $self, $request, $name, %how ) = @_;
    return $self->{answer}->refuse( $request, $name, %how );
}

# With the login page for browsers.
sub _refuse_to_login {
    my ( $self, $request, $name, $goto_uri, %how ) = @_;
    $how{page} = { login => 1, goto_uri => $goto_uri, %{ $how{page} // {} } };
    return $self->_refuse( $request, $name, %how );
}

sub _refuse_page {
    my ( $self, $request, $reason ) = @_;
    return 'fault'                          if $reason eq 'fault';
    return 'not_found'                      if $request->is_incidental;
    return $self->_refuse_program($request) if $request->program;
    return $self->_token_denied($request)   if $reason eq 'wrong_token';
    return $self->_refuse_to_login( $request, 'no_session', $request->goto_uri,
        page => { alert => undef } )
        if $reason eq 'no cookie';
    return $self->_refuse_to_login( $request, 'expired', $request->goto_uri );
}

# The refusal differs if the call would be allowed at another service's port.
sub _refuse_program {
    my ( $self, $request ) = @_;
    my $other_service;
    for my $service ( grep { $_ ne $request->service } sort keys %SERVICE ) {
        for my $cookie ( grep { defined } $request->cookie($service), $request->cookie ) {
            $other_service ||= $self->sessions->check(
                cookie    => $cookie,
                token     => $request->token,
                service   => $service,
                uncounted => 1
            );
        }
    }
    return $self->_refuse( $request, $other_service ? 'permission_denied' : 'access_denied' );
}

sub _token_denied {
    my ( $self, $request ) = @_;
    return $self->_refuse(
        $request,
        defined $request->token ? 'token_wrong' : 'token_missing',
        page => {
            heading   => 'Invalid Security Token',
            link      => '/login/' . _goto_query( $request->goto_uri ),
            link_text => 'Log in again',
        }
    );
}

# A form may contain tickets, too.
sub _route_clear_text {
    my ( $self, $request ) = @_;
    return $FORM if $request->method eq 'POST' && !$request->form_fault;
    return $self->_refuse_clear_text($request);
}

# Data received in clear text is not trusted, and only the path is kept in the
# redirect. A ticket sent in clear text may have been intercepted, so it is ended.
# Programs are not redirected: they would take the page there for a success.
sub _refuse_clear_text {
    my ( $self, $request ) = @_;
    my $host = $request->host;
    my $mine = eval {
        $self->sessions->discard($_) for $request->all('session');
        defined $host && $self->sessions->serves($host);
    };
    return 'fault'      if !defined $mine;
    return 'clear_text' if !$mine || $request->program;
    my $port = $self->_setting( 'port.' . $request->service );
    return $self->{answer}
        ->redirect( 302, "https://$host:$port" . uri_escape( $request->path, q{^!#-;=?-_a-z~} ) );
}

# Logging out.

# A link of another site asks first.
sub _route_logout {
    my ( $self, $request ) = @_;
    return 'passive' if $request->is_passive;
    if ( $request->is_cross_site ) {
        return 'passive' if $request->is_embedded;
        return $self->_ask_to_log_out($request);
    }
    return $FORM if ( $request->env->{CONTENT_LENGTH} || 0 ) ne '0' && !$request->form_fault;
    return $self->_logout($request);
}

# By this policy the browser names this site as the origin of the form.
sub _ask_to_log_out {
    my ( $self, $request ) = @_;
    return $self->_refuse(
        $request,
        'foreign_logout',
        headers => [ 'Referrer-Policy' => 'same-origin' ],
        page    => {
            heading => 'Log out?',
            alert   => undef,
            news    => 'Another site has led you here. Do you want to log out?',
            logout  => ( $request->token // q{} ) . '/logout/',
        }
    );
}

# Browsers keep even no-store pages in the back/forward cache until a cookie of
# the site changes. Chromium does not notice the removal of cookies that were set
# twice with the same value, but it notices a new cookie.
sub _left {
    my ( $self, $service ) = @_;
    return $self->_cookie( $service, 'logmein_left', time, 'Max-Age=1' );
}

sub _logout {
    my ( $self, $request ) = @_;
    my $cookie = $request->cookie;
    my ( $session, $reason ) = ( undef, 'no cookie' );
    ( $session, $reason ) = $self->sessions->end(
        cookie    => $cookie,
        token     => $request->token,
        any_token => !defined $request->token,
        service   => $request->service,
        address   => $request->address,
    ) if defined $cookie;
    return 'fault'                        if $reason eq 'fault';
    return $self->_token_denied($request) if $reason eq 'wrong_token';
    return $self->{answer}->page(
        200,
        $request->service,
        { login => 1, news => 'You have logged out.' },
        $self->_cookies( $request->service, 'no', 'no', "expires=$EPOCH", 'Max-Age=0' ),
        $self->_left( $request->service ),
        'Clear-Site-Data' => '"cache"'
    );
}

# Redeeming.

# The canonical form of a goto_uri; undef if it is invalid.
sub _canonical_goto_uri {
    my ($parameter) = @_;
    return Cpanel::LogMeIn::goto_uri( $parameter // q{} );
}

sub _goto_query {
    my ($goto_uri) = @_;
    return !defined $goto_uri || $goto_uri eq q{/} ? q{} : '?goto_uri=' . _encode($goto_uri);
}

sub _encode {
    my ($text) = @_;
    return uri_escape( $text, '^A-Za-z0-9._~-' );
}

# The URL for redeeming by GET instead of a cross-site POST.
sub _redeem_url {
    my ( $token, $ticket, $goto_uri ) = @_;
    my $url = ( $token // q{} ) . '/login/?session=' . _encode($ticket);
    return $goto_uri eq q{/} ? $url : "$url&goto_uri=" . _encode($goto_uri);
}

# $goto_uri follows the token in the redirect's path.
sub _redeem {
    my ( $self, $request, $ticket, $goto_uri, $confirmed ) = @_;
    $goto_uri //= q{/};
    return $self->{answer}->redirect( 302, _redeem_url( $request->token, $ticket, $goto_uri ) )
        if $request->method eq 'POST' && $request->is_cross_site;
    my ( $session, $reason, $confirm ) = $self->sessions->redeem(
        ticket      => $ticket,
        cookie      => $request->cookie,
        token       => $request->token,
        service     => $request->service,
        address     => $request->address,
        agent       => $request->agent,
        method      => $request->method,
        destination => $request->destination,
        purpose     => $request->purpose,
        confirmed   => $confirmed,
    );
    return $self->{answer}->redirect( 302, "$session->{token}$goto_uri",
        $self->_cookies( $session->{service}, $session->{cookie}, 'no' ) )
        if $session && $reason eq 'granted';
    return $self->{answer}->redirect( 302, "$session->{token}$goto_uri" )
        if $session && $reason eq 'again';
    return $reason                        if $reason eq 'fault' || $reason eq 'passive';
    return $self->_token_denied($request) if $reason eq 'wrong_token';
    return $self->_ask( $request, $ticket, $goto_uri, $confirm ) if $reason eq 'confirm';
    return $self->_refuse_to_login( $request, $reason eq 'spent' ? 'spent' : 'unknown', $goto_uri );
}

sub _ask {
    my ( $self, $request, $ticket, $goto_uri, $confirm ) = @_;
    my ( $user, $current ) = @{$confirm}{qw(user current)};
    return $self->_refuse(
        $request,
        'other_user',
        page => {
            heading  => "Continue as $user?",
            alert    => undef,
            news     => "You are logged in as $current. Continue as $user?",
            confirm  => 1,
            action   => $request->token . '/login/',
            ticket   => $ticket,
            goto_uri => $goto_uri,
            user     => $user,
            current  => $current,
            stay     => "$confirm->{current_token}/",
        }
    );
}

# Logging in.

sub _route_login {
    my ( $self, $request ) = @_;
    my $method = $request->method;
    return 'method' if $method !~ /\A(?:GET|HEAD|POST)\z/;
    if ( $method eq 'POST' ) {
        my $fault = $request->form_fault;
        return $fault          if $fault;
        return 'foreign_login' if $request->is_login_only && $request->is_cross_site;
        return $FORM;
    }
    return $FORM if $self->_admits_query($request);
    return $self->_login($request);
}

# A login with user and pass in the query, which the setting login_by_get allows to
# programs.
sub _admits_query {
    my ( $self, $request ) = @_;
    return
           $self->_setting('login_by_get') eq 'yes'
        && $request->method ne 'HEAD'
        && $request->is_login_only
        && $request->has_query('pass')
        && $request->is_by_program_alone;
}

# What the form asks for, or the query. by_query: user and pass are in the query of a
# GET, and are not used.
sub _wish_of {
    my ( $self, $request ) = @_;
    my $has_body = defined $request->form('user') || defined $request->form('pass');
    my $is_post  = $request->method eq 'POST';
    my $from     = !$has_body && $self->_admits_query($request) ? 'query' : 'form';
    my %wish     = (
        by_query  => $from eq 'form' && !$is_post && $request->has_query('pass'),
        field     => { map { $_ => $request->$from($_) } @LOGIN_FIELDS },
        ticket    => $request->form('session')  // $request->query('session'),
        goto_uri  => $request->form('goto_uri') // $request->query('goto_uri'),
        failurl   => $request->form('failurl'),
        confirmed => ( $request->form('confirmed') // q{} ) eq '1',
        is_login  => $from eq 'query' || $is_post,
    );
    return \%wish;
}

sub _login {
    my ( $self, $request ) = @_;
    my $wish     = $self->_wish_of($request);
    my $goto_uri = $wish->{target} = _canonical_goto_uri( $wish->{goto_uri} );
    return 'bad_request' if !$request->clean;
    return $self->_redeem( $request, $wish->{ticket}, $goto_uri, $wish->{confirmed} )
        if defined $wish->{ticket};
    return $self->_log_in( $request, $wish ) if $wish->{is_login};
    return 'by_get'                          if $request->program;
    return $self->_leave_address($request)   if $wish->{by_query};
    return $self->_show_login( $request, $goto_uri );
}

# Sends a browser away from an address that contains a password, which is not checked.
# The cookie makes the page say why.
sub _leave_address {
    my ( $self, $request ) = @_;
    return $self->{answer}->redirect( 303, '/login/',
        $self->_cookie( $request->service, 'logmein_note', 'address', "Max-Age=$NOTE_LIFE" ) );
}

sub _show_login {
    my ( $self, $request, $goto_uri ) = @_;
    my $note = $request->has_cookie('logmein_note');
    return $self->{answer}->page(
        $note ? 401 : 200,
        $request->service,
        { login => 1, goto_uri => $goto_uri, $note ? ( alert => $IN_ADDRESS ) : () },
        $note ? $self->_cookie( $request->service, 'logmein_note', 'no', 'Max-Age=0' ) : ()
    );
}

# After a verdict 'form': whose login it is, for a server that orders them. Nothing if
# no password will be checked.
sub login_order {
    my ( $self, $env ) = @_;
    my $request = $self->_request($env);
    my $fault   = $request->read_form;
    $env->{'psgi.input'}->seek( 0, 0 );
    my $wish = $self->_wish_of($request);
    my $user = $wish->{field}{user} // q{};
    my ( $address, $uid ) = ( $request->address, $request->caller_uid );
    $address = $request->form('remote_addr') if defined $uid && $self->_is_believed($uid);
    return if $fault || !$request->clean || $request->rest !~ $LOGIN_PATH || !length $user;
    return if !$request->at_gateway_socket && ( !$request->secure || defined $wish->{ticket} );
    my $knows = $self->sessions->can('is_known');
    return {
        source => Plack::App::LogMeIn::Request->source_of( $address, $uid ),
        known  => defined $address
            && $knows
            && $self->sessions->$knows( user => $user, address => $address ) ? 1 : 0,
    };
}

# True if store and site can be opened.
sub _is_well {
    my ($self) = @_;
    return eval { $self->sessions->open; 1 };
}

# Calls the core for a login, with a limited number of parallel hash computations.
# If the gateway is too busy, returns nothing. The slots are in the store's folder,
# which _is_well creates if necessary. If the store is faulty, no slot is needed: the
# core reports the fault before it computes a hash. A server that limits the hashes
# itself says so by logmein.slot.
sub _ask_core {
    my ( $self, $request, $how, %login ) = @_;
    my $well = !$request->env->{'logmein.slot'} && $self->_is_well;
    my $slot = $well                            && eval { $self->{slots}->take($PATIENCE) };
    return $self->sessions->$how(%login) if $slot || !$well;
    my $reason = $@ ? 'fault' : 'busy';
    $self->sessions->count_refusal( $login{service}, $reason );
    return { login_ok => 0, reason => $reason };
}

sub _log_in {
    my ( $self, $request, $wish ) = @_;
    my $by_url = $request->is_cross_site;
    my %field  = %{ $wish->{field} };
    if ( !length( $field{user} // q{} ) ) {
        $self->sessions->count_refusal( $request->service, 'parameter' );
        return $self->_refuse_login( $request, $wish, { reason => 'no_user' } );
    }
    my $answer = $self->_ask_core(
        $request,
        $by_url ? 'log_in_by_url' : 'log_in',
        %field,
        goto_uri    => $wish->{goto_uri},
        hostname    => 'localhost',
        service     => $request->service,
        remote_addr => $request->address,
    );
    return $self->_refuse_login( $request, $wish, $answer ) if !$answer->{login_ok};
    return $self->_send_on($answer)                         if $by_url;
    return $self->_logged_in( $request, $wish->{target}, $answer );
}

# The name of a refused login's refusal, and what is special about it.
sub _refusal_of {
    my ($answer) = @_;
    my $reason   = $answer->{reason};
    my %how      = ( text => $answer->{message} );
    $how{headers} = [ 'Retry-After' => $answer->{wait} ] if $reason eq 'wait';
    return ( $reason eq 'busy' ? 'busy' : "login_$reason", %how );
}

# A program gets cPanel's code for the most frequent refusals.
sub _refuse_login {
    my ( $self, $request, $wish, $answer ) = @_;
    my ( $name, %how ) = _refusal_of($answer);
    my %code = ( login_invalid => 'see_login_log', login_no_user => 'no_username' );
    my $elsewhere =
        $code{$name} && !$request->program ? $self->_canonical_failurl( $wish->{failurl} ) : undef;
    return $self->{answer}->redirect( 302, $elsewhere ) if defined $elsewhere;
    return $self->_refuse_to_login( $request, $name, $wish->{target}, %how, code => $code{$name} );
}

# The canonical form of a failurl; undef unless its host is one of the setting's.
sub _canonical_failurl {
    my ( $self, $url ) = @_;
    my ( $host, $port, $rest ) =
        ( $url // q{} ) =~ m{\Ahttps://([A-Za-z0-9.-]+)(?::([0-9]{1,5}))?((?:[/?#].*)?)\z}is
        or return;
    my $site = lc( $host . ( !defined $port || $port == 443 ? q{} : ":$port" ) );
    return if !$self->{failurl_hosts}{$site};
    my $target = _canonical_goto_uri($rest) // return;
    return "https://$site$target";
}

# The part of a successful answer that is the same for all clients.
sub _success {
    my ( $target, $answer ) = @_;
    return [ status => 1, redirect => $target, security_token => $answer->{token} ];
}

# Protects against login CSRF: a cross-site form sets no cookie. The browser is
# redirected to a login URL, where redeem decides.
sub _send_on {
    my ( $self, $answer ) = @_;
    my ($target) = $answer->{url} =~ m{\Ahttps://[^/]+(/.*)\z}s;
    return $self->{answer}->redirect( 302, $target );
}

# A program gets the dual-use cookie, because it may use it as a ticket.
sub _logged_in {
    my ( $self, $request, $goto_uri, $answer ) = @_;
    my $json   = $request->is_login_only;
    my $cookie = $json ? $answer->{cookie} : $self->_replace_session( $request, $answer );
    return 'fault' if !defined $cookie;
    my @cookies = $self->_cookies( $request->service, $cookie, 'no' );
    my $target  = "$answer->{token}$goto_uri";
    return $self->{answer}->json( 200, _success( $target, $answer ), @cookies ) if $json;
    return $self->{answer}->redirect( 302, $target, @cookies );
}

# If the browser is logged in already, it gets a new cookie and its old session
# ends, in one step. Otherwise it gets the dual-use cookie.
sub _replace_session {
    my ( $self, $request, $answer ) = @_;
    my %access = ( cookie => $request->cookie, service => $request->service );
    return $answer->{cookie} if !defined $access{cookie};
    my ( undef, $reason ) = $self->sessions->check( %access, uncounted => 1 );
    return $answer->{cookie} if $reason !~ /\A(?:fault|wrong_token)\z/;
    my ($session) = $self->sessions->redeem(
        %access,
        ticket    => $answer->{cookie},
        token     => $answer->{token},
        address   => $request->address,
        agent     => $request->agent,
        confirmed => 1,
    );
    return $session ? $session->{cookie} : undef;
}

# The gateway's socket accepts only logins of local processes. The Host header
# names the host of the login URL, and its port the service.
sub _service_at_socket {
    my ($request) = @_;
    my $port      = $request->host_port // q{};
    my ($service) = map { $_->{name} } grep { $_->{port} eq $port } values %SERVICE;
    return $service;
}

sub _route_at_socket {
    my ( $self, $request ) = @_;
    return 'bad_request'
        if !defined $request->caller_uid
        || !_service_at_socket($request)
        || $request->method ne 'POST'
        || $request->path !~ $LOGIN_PATH;
    return $request->form_fault // $FORM;
}

sub _log_in_at_socket {
    my ( $self, $request ) = @_;
    my $uid   = $request->caller_uid;
    my %field = map { $_ => $request->form($_) } @LOGIN_FIELDS, qw(goto_uri remote_addr);
    return 'bad_request'       if !$request->clean;
    delete $field{remote_addr} if !$self->_is_believed($uid);
    my $answer = $self->_ask_core(
        $request, 'log_in_by_url', %field,
        hostname   => $request->host,
        service    => _service_at_socket($request),
        caller_uid => $uid
    );
    return $self->_refuse( $request, _refusal_of($answer) ) if !$answer->{login_ok};
    my $target = $answer->{token} . _canonical_goto_uri( $field{goto_uri} );
    return $self->{answer}
        ->json( 200, [ @{ _success( $target, $answer ) }, login_url => $answer->{url} ] );
}

# True if remote_addr from this user is trusted: root, the store's owner, and
# socket_callers.
sub _is_believed {
    my ( $self, $uid ) = @_;
    my $owner = ( stat $self->_setting('key_file') )[4];
    return 1 if $uid == 0 || ( defined $owner && $uid == $owner );
    return grep { my $id = getpwnam $_; defined $id && $id == $uid }
        split q{ }, $self->_setting('socket_callers');
}

# For front servers.

# Only status 204 allows the request.
sub _check {
    my ( $self, $request ) = @_;
    my $original = $request->original;
    my $refused  = sub { return $self->_refuse( $original, 'no_session', text => 'no', @_ ) };
    return $refused->() if !$original->clean || !$original->secure || !$original->service;
    my $ticket   = $original->ticket;
    my $goto_uri = defined $ticket ? $original->target_of_ticket : $original->goto_uri;
    return $refused->() if !$original->clean || !$original->has_good_host;
    return $refused->(
        headers => [
            'X-LogMeIn-Login' => _redeem_url( $original->token, $ticket, $goto_uri // q{/} )
        ]
    ) if defined $ticket;
    my ( $session, $reason ) = $self->_check_session($original);
    return [
        204,
        [
            'Cache-Control'     => $self->{answer}->no_store,
            'X-LogMeIn-User'    => $session->{user},
            'X-LogMeIn-Service' => $session->{service},
        ],
        []
        ]
        if $session;
    return $self->_refuse( $original, 'fault' ) if $reason eq 'fault';
    return $self->_refuse_program($original)    if $original->program;
    return $refused->( headers => [ 'X-LogMeIn-Login' => '/login/' . _goto_query($goto_uri) ] );
}

1;

__END__

=head1 NAME

Plack::App::LogMeIn - the gateway: login page, login URLs, logout, request check

=head1 SYNOPSIS

    # gateway.psgi: behind a web server that protects its pages itself
    use Plack::App::LogMeIn ();

    Plack::App::LogMeIn->new->to_app;

=head1 DESCRIPTION

The web interface of L<Cpanel::LogMeIn>. For each service, at its port, it serves:

=over 4

=item C<GET /login/>

The login page: one file, without scripts or external resources. A request
without a session for any other page is answered with it, too, with status 401;
after the login the browser is redirected to that page.

A C<pass> in the query is not used. A browser is redirected to this page without the
query, where a sentence says why; a program is told to send a POST, with status 405,
as is any program that gets this page.

=item C<POST /login/>

A form with C<user>, C<pass> and optionally C<goto_uri>,
C<active_token_for_reuse>, C<tfa_token> and C<failurl>: at most 65,536 bytes of
C<application/x-www-form-urlencoded> or C<multipart/form-data>, in which files are
ignored. On success: a redirect to C</cpsess##########> and goto_uri, with a
session cookie. On failure: the login page, with status 401; 429 and
C<Retry-After> during a wait; 400 for an invalid parameter; 503 for a fault.

After a wrong password, or without a user name, the browser is redirected to
C<failurl> instead, if that is an C<https> URL of a host in
C<failurl_hosts> (see L<logmein.conf(5)>). Nothing is added to it.

If the browser is logged in already, that session ends. If the form came from
another site, no cookie is set: the browser is redirected to a login URL, where
L<Cpanel::LogMeIn::Session/redeem> decides.

=item C<POST /login/?login_only=1>

The same for programs, in JSON:

    {"status":1,"redirect":"/cpsess0123456789/x","security_token":"/cpsess0123456789"}
    {"status":0,"message":"see_login_log","reason":"invalid"}

C<message> is C<see_login_log> for an invalid login, C<no_username> for a missing
name, and otherwise a sentence. C<reason> is C<invalid>, C<wait>, C<parameter> or
C<fault>: see C<$Cpanel::LogMeIn::reason> in L<Cpanel::LogMeIn/get_loggedin_url>.
It is the last key of every failed login in JSON. The cookie is a dual-use cookie: it
can be used as a cookie, or once as a ticket. A request from another site's page is
refused with status 403.

With the setting C<login_by_get> (see L<logmein.conf(5)>), C<user> and C<pass> may be in the
query, of a GET or of a POST without them in its form.

=item C<GET /cpsess##########/...?session=lmt_...>

A login URL of the direct form, on any path. A parameter C<session> that does not
have the form of a ticket is passed to the page. If the path is C</>, a parameter
C<goto_uri>, as portals append it, is where the URL leads to.

=item C<GET /cpsess##########/login/?session=...&goto_uri=...>

A login URL of the other form; also as a POST to C</cpsess##########/login>.
Both forms are answered with a redirect and a cookie, or with a page that contains
the reason for the refusal. Only a navigation by GET or POST spends the ticket: not
other methods, prefetches, or requests whose C<Sec-Fetch-Dest> is not C<document>,
such as those of images and frames.

=item C</logout>, C</cpsess##########/logout>

Ends the session. The page confirms it, and the service's two cookies expire. A
third one, C<logmein_left>, is valid for a second: it makes browsers remove pages
from their back/forward cache. If another site leads there, a page with a button asks
first; what another site embeds is refused.

=item C</logmein/check>

For front servers; see L</FRONT SERVERS>.

=item C</logmein/live>

200 C<ok>, always: the process answers.

=item C</logmein/health>

200 C<ok> if logins and checks are possible, otherwise 503 C<fault>. Programs of this
machine (see below) are also told why, in a word for each part. After C<fault>:

    store       it can't be opened or read
    key         key_file is missing, or is not the store's key
    site        etc/passwd or etc/shadow can't be read

After C<warning>, with the status that the others determine:

    settings    the file is invalid or missing; older settings are in force
    log         lines can't be written, or some are missing

For example, C<fault store> or C<ok warning settings log>. L<Cpanel::LogMeIn::Session/health>
has the sentences.

=item C</logmein/metrics>

Numbers in the text format of Prometheus, for programs of this machine; 404 for others.
Processes that were forked after the gateway was made count together.

    logmein_logins_total{service,reason}    reasons are those of get_loggedin_url,
                                            and busy: no place in the queue
    logmein_sessions{service}               live sessions
    logmein_redemptions_total{outcome}      see Cpanel::LogMeIn::Session
    logmein_checks_total{outcome}
    logmein_faults_total{code}              SITE, STORE and so on
    logmein_login_duration_seconds          a histogram: the time of a login,
                                            without waiting for its turn
    logmein_check_duration_seconds          a histogram
    logmein_login_wait_seconds              a histogram: refused logins during a
                                            wait, by what remained of it
    logmein_log_lost_lines_total
    logmein_healthy{part}                   1 or 0

Sessions are counted one by one, about 100,000 in a second.

=back

Programs of this machine are clients of the socket for front servers, and those that
connect from a loopback address which is not in C<trusted_proxies>, with a C<Host> of
this machine and without C<Forwarded>, C<Via>, C<X-Forwarded-*> and C<X-Real-IP>. A front
server must not pass on requests to F</logmein/>.

All other paths need a session's cookie and its token in the path. If the token is
wrong or missing, the answer is a page with the heading "Invalid Security Token". The
third wrong one ends the session. Requests that another site causes end nothing; after
three wrong tokens all such requests of the session are refused.

This app serves no pages of its own behind the login: L<Plack::Middleware::LogMeIn>
protects another app, and a front server its own pages.

=head2 Programs

Whatever is refused to a program has a status from 400 on, and is JSON with C<status>
first, or XML if the path is below F</xml-api/>:

    {"status":0,"error":"Access denied"}
    <cpanelresult><status>0</status><error>Access denied</error></cpanelresult>

A refused login has C<message> and C<reason> instead of C<error>. A fault, with status
503, has the C<reason> C<fault>. Without a valid session the status is 403 and the
error C<Access denied>, or C<Permission denied> if the request would be allowed at
another service's port.

A request is one of a program if it has C<login_only=1>, if its path is below
F</json-api/>, F</xml-api/> or F</execute/>, or if it accepts C<application/json>.

=head2 Other sites

The header C<Sec-Fetch-Site> says whether a page of another site has caused a request.
If it is missing, C<Origin> does: another host's is one of another site, but not one
with another scheme or port. A request without both is the user's own, or a program's.

=head2 What is not answered

=over 4

=item API tokens, Basic authentication

The header C<Authorization> is not read: neither C<whm USER:TOKEN>,
C<cpanel USER:TOKEN> nor C<Basic>. Such a call is refused as one without a session.
Programs log in by C<POST /login/?login_only=1> first, and then send cookie and token.

=item Frames

The gateway's pages forbid that other pages show them in a frame, and a login URL is
not redeemed in a frame. Open it in a window of its own.

=item A portal that opens the URL itself

A login URL is good for the browser that opens it first. A server that follows the URL
before it sends it to its customer, to see where it leads, uses it up: the customer
reads C<This link has been used.> Pass the URL on unopened, or redirect to it.

=back

=head2 Ports

The port determines the service of a request: the ports of the settings
C<port.cpanel>, C<port.whm> and C<port.webmail>, the default ports, and 2082, 2086
and 2095 for clear text. Other ports are answered with 404, unless C<service> is
given.

Clear-text requests are never allowed. The browser is redirected to the TLS port,
without the query, and only if C<Host> is a name of this machine. Programs are not
redirected but refused, because many take the page at the end for a success. A ticket
that was sent in clear text is ended.

=head2 Paths

A path is answered with 400 if it contains an encoded control byte, slash or
backslash, C<//>, a segment C<.> or C<..>, an invalid percent-encoding, or invalid
UTF-8, because servers interpret such paths differently. So is a request with a
duplicate parameter, or with an invalid C<Host>. Only two slashes before the token, as
some clients send them, are read as one, for the app, too.

=head1 FRONT SERVERS

A front server is trusted if it connects through a Unix socket other than
C<gateway_socket>, or from an address in C<trusted_proxies>. It must send
C<X-Forwarded-Proto>, C<X-Forwarded-Port> (the port that the browser connected to)
and C<X-Forwarded-For>, whose last address that is not a trusted proxy's is used as
the browser's address; it may have a port. From any other client these headers are ignored.

It checks a request at C</logmein/check>, with C<X-Original-URI> (the request
target as the browser sent it, not decoded), C<X-Original-Method> and the browser's
other headers. The answers:

=over 4

=item C<204>

The request is allowed; any other answer refuses it. C<X-LogMeIn-User> and
C<X-LogMeIn-Service> contain user and service.

=item C<401>, C<403>

The request is refused. C<X-LogMeIn-Login>, if present, is the path to redirect a
browser to.

=item C<503>

A fault: try again later, and refuse the request.

=back

=head1 THE SOCKET

At the socket of the setting C<gateway_socket>, the app only serves C<POST /login/>
for local programs. C<Host> names the host and, by the default port, the service;
the answer also contains the C<login_url>:

    {"status":1,"redirect":...,"security_token":...,"login_url":"https://..."}

On failure C<message> is the message of L<Cpanel::LogMeIn/get_loggedin_url>. The
user of the calling process is logged. C<remote_addr> in the form is trusted from
root, the store's owner and C<socket_callers>. Failures of other users count
against the calling user.

The web server must support C<psgix.io>, as Starman does.

=head1 OPTIONS

=over 4

=item C<service>

C<cpanel>, C<whm> or C<webmail>, regardless of the port.

=item C<ports>

A hash of additional ports and their services, for clear text at other ports than
the default ones.

=item C<logins_at_once>

The maximum number of password hashes that all processes compute in parallel; by
default the number of processors. Further logins wait up to 5 seconds, and are then
answered with 503 and C<Retry-After>.

=item C<sessions>

The L<Cpanel::LogMeIn::Session> object to work with, by default a new one.

=back

=head1 METHODS

=head2 prepare_app, call

See L<Plack::Component>. C<prepare_app> reads the settings, and dies if they are
invalid. They stay in force until the server makes a new app.

=head2 admit

    my $answer = $gateway->admit($env);

Returns the answer to a request; returns nothing if the request is allowed, and then
the environment contains the keys that L<Plack::Middleware::LogMeIn> describes.

=head2 judge

    my $verdict = $gateway->judge($env);

For servers that want to refuse a request before they read its body. Decides by the
head alone; C<psgi.input> is not used. The verdict is one of

=over 4

=item an array reference

The answer. The body is not needed.

=item C<form>

The answer depends on the form in the body, of at most 65,536 bytes, which may be
empty, also for a GET. When it is complete in C<psgi.input>, call the app. A form
that is too long, has an unsupported content type or another method is refused
without its body.

=item C<pass>

The request is allowed, and the environment is set as by C<admit>. The app behind,
L<Plack::Middleware::LogMeIn> included, then does not check the request again.

=back

=head2 login_order

    my $order = $gateway->login_order($env);

After the verdict C<form>, with the complete form in C<psgi.input>, which must be
seekable and is rewound: whether a password will be checked, which takes long.
Returns nothing if not, and otherwise a hash of

=over 4

=item C<source>

Where the login comes from, as a text to count by: the browser's IPv4 address, the
/64 of its IPv6 address, or the calling user at the gateway's socket.

=item C<known>

True if the user has lately logged in from there.

=back

A server that limits the number of logins itself sets C<logmein.slot> in the
environment before it calls the app. The app then does not limit it.

=head2 slots

What limits the number of logins of all processes: a L<Plack::App::LogMeIn::Slots>,
for a server that orders the logins itself.

=head2 refusal

    my $answer = $gateway->refusal( $env, $status );

The answer to a request that the server itself refuses, for this client: JSON or
XML for programs. The status is 400, 408, 411, 413, 431, or 503 if too many people
are logging in. C<REQUEST_URI> need not be valid.

=head1 DIAGNOSTICS

Besides the messages of L<Cpanel::LogMeIn> the pages contain:

=over 4

=item C<You must specify a username to log in.>

=item C<A password in the address of a page is not accepted, because others may read it there. Please log in here.>

=item C<Send user and pass in the body of a POST request.>

For programs.

=item C<Your session has expired. Please log in again.>

=item C<This link has been used.>

By another browser, or by this one before it logged out.

=item C<This link is invalid or has expired. Please log in.>

=item C<The security token is missing from your request.>

=item C<The security token in your request is invalid.>

=item C<You have logged out.>

=item C<You are logged in as A. Continue as B?>

=item C<Another site has led you here. Do you want to log out?>

=item C<A login in JSON is not possible from another site.>

=item C<Too many people are logging in at this moment. Please try again.>

=item C<This is not possible at the moment. Please try again later.>

A fault; the log contains the cause.

=back

The short texts of other refusals name the part of the request that is not accepted.

C<prepare_app> dies with a message if C<cookie_prefix>, C<failurl_hosts>,
C<page_logo> or C<service> is invalid.

=head1 SECURITY

Only C<_check_session> in this file allows a request, by C<lmi_check_decide> in
F<csrc/sessions/check.c>, and only C<lmi_redeem_decide> in
F<csrc/sessions/redeem.c> accepts a ticket.

If a request has several session cookies of the same name with different values,
all are ignored, because another site of the same parent domain may have set one of
them. If all clients are browsers, the setting C<cookie_prefix = __Host-> prevents
other sites from setting such cookies.

No answer contains data that a client has sent, except goto_uri and failurl in their
canonical forms.

=head1 SEE ALSO

L<Plack::Middleware::LogMeIn>, L<Cpanel::LogMeIn::Session>, L<Cpanel::LogMeIn>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
